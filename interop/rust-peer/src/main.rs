//! The real bus of agent-mesh, driven by lines of JSON: a command on each line of standard
//! input, `{"id":n,"op":…}`; an answer with the same id on a line of standard output; and lines
//! without id for what a subscription was told.

use std::error::Error;
use std::io::BufRead;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use agent_mesh_bus::{Bus, BusOptions, Topic};
use agent_mesh_protocol::{AgentKey, AgentMetadata, Caveats, Fingerprint, Scope, UserKey};
use serde_json::{json, Value};

type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;

struct Peer {
    user: UserKey,
    key: [u8; 32],
    bus: Bus,
    #[cfg(not(feature = "v08"))]
    dialer: dialer::Dialer,
}

#[tokio::main]
async fn main() {
    let (send, mut lines) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if send.send(line).is_err() {
                return;
            }
        }
    });
    let mut peer = None;
    while let Some(line) = lines.recv().await {
        let command: Value = serde_json::from_str(&line).expect("a command is JSON");
        let mut answer = match run(&mut peer, &command).await {
            Ok(answer) => answer,
            Err(error) => json!({ "err": error.to_string() }),
        };
        answer["id"] = command["id"].clone();
        println!("{answer}");
    }
}

async fn run(peer: &mut Option<Peer>, command: &Value) -> Fallible<Value> {
    let op = text(command, "op")?;
    if op == "bind" {
        let bound = bind(command).await?;
        let agent = bound.bus.agent_fingerprint();
        let answer = json!({
            "port": bound.bus.local_port(),
            "pub": hex::encode(bound.key),
            "agent": hex::encode(agent.0),
            "user": hex::encode(bound.bus.user_fingerprint().0),
        });
        *peer = Some(bound);
        return Ok(answer);
    }
    if op == "close" {
        if let Some(bound) = peer.take() {
            bound.bus.close().await?;
        }
        return Ok(json!({ "ok": true }));
    }
    let peer = peer.as_mut().ok_or("bind first")?;
    let topic = Topic::new(peer.user.fingerprint(), text(command, "topic")?);
    match op {
        "subscribe" => {
            let mut told = peer.bus.subscribe(&topic).await;
            let name = text(command, "topic")?.to_owned();
            tokio::spawn(async move {
                while let Ok(body) = told.recv().await {
                    println!("{}", json!({ "got": name, "body": hex::encode(body) }));
                }
            });
            Ok(json!({ "ok": true }))
        }
        "echo" => {
            peer.bus
                .handle_requests(topic, |body| async move { Ok(body) });
            Ok(json!({ "ok": true }))
        }
        "publish" => {
            peer.publish(command, &topic, body(command)?).await?;
            Ok(json!({ "ok": true }))
        }
        "publish_fp" => {
            let to = fingerprint(command)?;
            peer.bus.publish_to(to, &topic, body(command)?).await?;
            Ok(json!({ "ok": true }))
        }
        "request" => {
            let wait = Duration::from_millis(command["ms"].as_u64().unwrap_or(5_000));
            let answer = peer.request(command, &topic, body(command)?, wait).await?;
            Ok(json!({ "body": hex::encode(answer) }))
        }
        _ => Err(format!("unknown op {op}").into()),
    }
}

/// Bind as a fresh agent of the user whose key file is given; made when it is not there.
async fn bind(command: &Value) -> Fallible<Peer> {
    let path = Path::new(text(command, "key")?);
    if !path.exists() {
        UserKey::generate().save(path)?;
    }
    let user = UserKey::load(path)?;
    let agent = agent(&user, command)?;
    let key = agent.public_bytes();
    #[cfg(not(feature = "v08"))]
    let dialer = dialer::Dialer::bind(self::agent(&user, command)?).await?;
    let announce = command["announce"].as_bool().unwrap_or(false);
    let options = BusOptions { announce };
    #[cfg(not(feature = "v08"))]
    let bus = Bus::bind_with(&user, agent, 0, options).await?;
    #[cfg(feature = "v08")]
    let bus = {
        let guard = agent_mesh_bus::RevocationGuard::in_memory(&user);
        Bus::bind_with(&user, agent, 0, options, guard).await?
    };
    Ok(Peer {
        user,
        key,
        bus,
        #[cfg(not(feature = "v08"))]
        dialer,
    })
}

/// An agent `depth` certificates below the user, limited to generation 1 when that is asked for.
fn agent(user: &UserKey, command: &Value) -> Fallible<AgentKey> {
    let mut caveats = Caveats::top();
    if command["generation"].as_bool() == Some(true) {
        caveats.valid_for_generation = Scope::only([1]);
    }
    let metadata = AgentMetadata {
        role: text_or(command, "role", "rust-peer").to_owned(),
        host: "interop".to_owned(),
        capabilities: vec!["agent-store-doorbell".to_owned()],
        issued_at: "2026-01-02T03:04:05Z".to_owned(),
        expires_at: None,
        caveats,
    };
    let mut agent = AgentKey::issue(user, metadata.clone());
    for _ in 1..command["depth"].as_u64().unwrap_or(1) {
        agent = agent.delegate(metadata.clone())?;
    }
    Ok(agent)
}

#[cfg(feature = "v08")]
impl Peer {
    async fn publish(&mut self, command: &Value, topic: &Topic, body: Vec<u8>) -> Fallible<()> {
        let (key, address) = endpoint(command)?;
        let to = agent_mesh_bus::PeerEndpoint::new(key, address);
        Ok(self.bus.publish_to_direct(to, topic, body).await?)
    }

    async fn request(
        &mut self,
        command: &Value,
        topic: &Topic,
        body: Vec<u8>,
        wait: Duration,
    ) -> Fallible<Vec<u8>> {
        let (key, address) = endpoint(command)?;
        let to = agent_mesh_bus::PeerEndpoint::new(key, address);
        Ok(self.bus.request_direct(to, topic, body, wait).await?)
    }
}

#[cfg(not(feature = "v08"))]
impl Peer {
    async fn publish(&mut self, command: &Value, topic: &Topic, body: Vec<u8>) -> Fallible<()> {
        let (key, address) = endpoint(command)?;
        self.dialer.publish(key, address, topic, body).await
    }

    async fn request(
        &mut self,
        command: &Value,
        topic: &Topic,
        body: Vec<u8>,
        wait: Duration,
    ) -> Fallible<Vec<u8>> {
        Ok(self
            .bus
            .request(fingerprint(command)?, topic, body, wait)
            .await?)
    }
}

/// Publishing to an address with the crates under the bus of 0.6.2, as a second agent.
#[cfg(not(feature = "v08"))]
mod dialer {
    use super::{Fallible, SocketAddr};
    use agent_mesh_bus::{BusMessage, Topic};
    use agent_mesh_protocol::{AgentKey, Recipient, SignedEnvelope};
    use agent_mesh_transport::{do_handshake, identity, send_envelope, Endpoint};

    pub struct Dialer {
        agent: AgentKey,
        endpoint: Endpoint,
        sequence: u64,
    }

    impl Dialer {
        pub async fn bind(agent: AgentKey) -> Fallible<Self> {
            let endpoint = Endpoint::bind(&agent, 0).await?;
            Ok(Self {
                agent,
                endpoint,
                sequence: 0,
            })
        }

        pub async fn publish(
            &mut self,
            key: [u8; 32],
            address: SocketAddr,
            topic: &Topic,
            body: Vec<u8>,
        ) -> Fallible<()> {
            let id = identity::agent_pubkey_to_iroh(&key).ok_or("no public key")?;
            let connection = self.endpoint.dial(id, [address]).await?;
            let (mut send, mut receive) = connection.open_bi().await?;
            let theirs = do_handshake(self.agent.cert(), &mut send, &mut receive, true).await?;
            self.sequence += 1;
            let message = BusMessage::Publish {
                topic: topic.wire(),
                body,
            };
            let recipient = Recipient::Direct {
                agent_fp: theirs.agent_fingerprint(),
            };
            let payload = serde_json::to_vec(&message)?;
            let envelope = SignedEnvelope::new(&self.agent, recipient, self.sequence, payload);
            send_envelope(&mut send, &envelope).await?;
            // As the bus does before it drops the connection.
            let _ = send.stopped().await;
            Ok(())
        }
    }
}

fn endpoint(command: &Value) -> Fallible<([u8; 32], SocketAddr)> {
    let key = hex::decode(text(command, "pub")?)?;
    let key = key.try_into().map_err(|_| "a public key has 32 bytes")?;
    Ok((key, text(command, "addr")?.parse()?))
}

fn fingerprint(command: &Value) -> Fallible<Fingerprint> {
    let bytes = hex::decode(text(command, "fp")?)?;
    Ok(Fingerprint(
        bytes.try_into().map_err(|_| "a fingerprint has 32 bytes")?,
    ))
}

fn body(command: &Value) -> Fallible<Vec<u8>> {
    Ok(hex::decode(text(command, "body")?)?)
}

fn text<'a>(command: &'a Value, name: &str) -> Fallible<&'a str> {
    command[name]
        .as_str()
        .ok_or_else(|| format!("{name} is missing").into())
}

fn text_or<'a>(command: &'a Value, name: &str, otherwise: &'a str) -> &'a str {
    command[name].as_str().unwrap_or(otherwise)
}
