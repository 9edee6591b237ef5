/**
 * agent-store/mesh: a peer of agent-mesh, byte-compatible with the Rust crates. Keys,
 * certificates and signed envelopes; a bus among the agents of one user; transports under it.
 *
 * This room waits for the network, so it is asynchronous where it does; what encodes and
 * decodes is synchronous.
 *
 * @module
 */
export { Agent, type AgentOptions } from './agent.ts'
export { type AnnouncedPeer, DOORBELL_CAPABILITY } from './announcement.ts'
export { type BusOptions, MeshBus } from './bus.ts'
export { type Caveats, type CountBound, isWithin, type Scope, UNRESTRICTED } from './caveats.ts'
export { Certificate, type Metadata } from './certificate.ts'
export { KeyPair } from './ed25519.ts'
export { Envelope, type EnvelopeContent, type Recipient } from './envelope.ts'
export {
  BacklogError,
  BadBellError,
  BadBusMessageError,
  BadCertChainError,
  BadSequenceError,
  BadSignatureError,
  CaveatAmplificationError,
  CertificateGenerationError,
  DifferentUserError,
  EncodingError,
  FrameError,
  HandshakeError,
  InvalidCertChainError,
  InvalidKeyError,
  KeyFileError,
  MalformedEnvelopeError,
  MeshClosedError,
  MeshError,
  MeshTimeoutError,
  NotAdmittedError,
  PeerClosedError,
  quotePeer,
  ReplayError,
  TransportError,
  UnreachableError,
} from './errors.ts'
export { type IrohOptions, IrohTransport } from './iroh-transport.ts'
export { defaultKeyPath, readKeyFile, writeKeyFile } from './key-file.ts'
export type { BusLimits } from './limits.ts'
export { type MdnsOptions, MdnsPeers } from './mdns.ts'
export { MemoryNetwork } from './memory-transport.ts'
export { MeshBell, type MeshBellOptions } from './mesh-bell.ts'
export { fingerprintOf, formatPeer, PeerList, type PeerSource, parsePeer } from './peers.ts'
export { type PossessionChallenge, possessionChallenge, provePossession } from './possession.ts'
export type { MeshRequest, RequestHandler } from './requests.ts'
export { type Delivery, SUBSCRIPTION_BUFFER, type TopicSubscriber } from './subscription.ts'
export { DOORBELL_PREFIX, doorbellTopic, type Topic, topicFromWire, topicToWire } from './topic.ts'
export type { Connection, Peer, Stream, Transport } from './transport.ts'
