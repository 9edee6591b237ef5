/**
 * agent-store/mesh: a peer of agent-mesh, byte-compatible with the Rust crates. Keys,
 * certificates and signed envelopes; a bus among the agents of one user; transports under it.
 *
 * This room waits for the network, so it is asynchronous where it does; what encodes and
 * decodes is synchronous.
 *
 * @module
 */

export { type BusOptions, MeshBus } from './bus.ts'
export { type MdnsOptions, MdnsPeers } from './discovery/mdns.ts'
export { type AnnouncedPeer, DOORBELL_CAPABILITY } from './discovery/mdns-announcement.ts'
export {
  fingerprintOf,
  formatPeer,
  PeerList,
  type PeerSource,
  parsePeer,
} from './discovery/peers.ts'
export { Envelope, type EnvelopeContent, type Recipient } from './envelope.ts'
export {
  BacklogError,
  MeshClosedError,
  MeshError,
  type MeshErrorCode,
  MeshTimeoutError,
  PeerClosedError,
  quotePeer,
  TransportError,
  UnreachableError,
} from './errors.ts'
export { Agent, type AgentOptions } from './identity/agent.ts'
export {
  type Caveats,
  type CountBound,
  isWithin,
  type Scope,
  UNRESTRICTED,
} from './identity/caveats.ts'
export { Certificate, type Metadata } from './identity/certificate.ts'
export { defaultKeyPath, readKeyFile, writeKeyFile } from './identity/key-file.ts'
export { KeyPair } from './identity/keys.ts'
export {
  type PossessionChallenge,
  possessionChallenge,
  provePossession,
} from './identity/possession.ts'
export { type IrohOptions, IrohTransport } from './iroh-transport.ts'
export type { BusLimits } from './limits.ts'
export { MeshBell, type MeshBellOptions } from './mesh-bell.ts'
export type { MeshRequest, RequestHandler } from './requests.ts'
export { type Delivery, SUBSCRIPTION_BUFFER, type TopicSubscriber } from './subscription.ts'
export { DOORBELL_PREFIX, doorbellTopic, type Topic, topicFromWire, topicToWire } from './topic.ts'
export type { Connection, Peer, Stream, Transport } from './transport.ts'
