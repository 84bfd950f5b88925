//! The smallest name server that a resolver believes: one name, one address, on port 53 of a loopback address.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// Not 127.0.0.1, whose port 53 a caching resolver of the machine may hold.
pub(super) const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 153);

const HEADER: usize = 12;
const TYPE_A: [u8; 2] = [0, 1];
/// Response, recursion desired and available; the low byte holds the code.
const NO_ERROR: [u8; 2] = [0x81, 0x80];
const NO_SUCH_NAME: [u8; 2] = [0x81, 0x83];

/// A running name server; it ends when this is dropped.
pub(super) struct NameServer {
    asked: Arc<Mutex<BTreeSet<String>>>,
    task: JoinHandle<()>,
}

impl NameServer {
    /// Answers 127.0.0.1 for `name`, and that nothing else exists.
    pub(super) async fn start(name: &str) -> Result<Self> {
        let socket = UdpSocket::bind((ADDRESS, 53)).await.with_context(|| {
            format!("cannot answer DNS on {ADDRESS}:53; run this step as root, with nothing else on that address")
        })?;
        let asked = Arc::new(Mutex::new(BTreeSet::new()));
        let (name, seen) = (name.to_owned(), Arc::clone(&asked));
        let task = tokio::spawn(async move {
            let mut packet = [0; 512];
            while let Ok((length, peer)) = socket.recv_from(&mut packet).await {
                let Some(question) = Question::parse(&packet[..length]) else { continue };
                seen.lock().unwrap_or_else(PoisonError::into_inner).insert(question.name.clone());
                let _ = socket.send_to(&question.answer(&name), peer).await;
            }
        });
        Ok(Self { asked, task })
    }

    /// The names in the queries so far.
    pub(super) fn asked(&self) -> BTreeSet<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The one question of a query (RFC 1035, 4.1).
struct Question {
    id: [u8; 2],
    name: String,
    kind: [u8; 2],
    /// As it was sent, to be repeated in the answer.
    raw: Vec<u8>,
}

impl Question {
    fn parse(packet: &[u8]) -> Option<Self> {
        let id = [*packet.first()?, *packet.get(1)?];
        let mut labels = Vec::new();
        let mut at = HEADER;
        loop {
            let length = usize::from(*packet.get(at)?);
            at += 1;
            if length == 0 {
                break;
            }
            labels.push(String::from_utf8_lossy(packet.get(at..at + length)?).to_lowercase());
            at += length;
        }
        let kind = [*packet.get(at)?, *packet.get(at + 1)?];
        Some(Self { id, name: labels.join("."), kind, raw: packet.get(HEADER..at + 4)?.to_vec() })
    }

    fn answer(&self, known: &str) -> Vec<u8> {
        let exists = self.name == known;
        // An existing name without an IPv6 address is no error, with no answers.
        let has_address = exists && self.kind == TYPE_A;
        let mut answer = self.id.to_vec();
        answer.extend(if exists { NO_ERROR } else { NO_SUCH_NAME });
        answer.extend([0, 1, 0, u8::from(has_address), 0, 0, 0, 0]);
        answer.extend(&self.raw);
        if has_address {
            // The name of the question, type A, class IN, 60 s, four bytes.
            answer.extend([0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
            answer.extend(Ipv4Addr::LOCALHOST.octets());
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(kind: u8) -> Vec<u8> {
        let mut packet = vec![0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        packet.extend(b"\x03iam\x04test\x00");
        packet.extend([0, kind, 0, 1]);
        packet
    }

    #[test]
    fn one_name_has_an_ipv4_address_and_nothing_else_exists() {
        let question = Question::parse(&query(1)).expect("a question");
        assert_eq!(question.name, "iam.test");
        let answer = question.answer("iam.test");
        assert_eq!((&answer[..4], &answer[6..8]), (&[0xab, 0xcd, 0x81, 0x80][..], &[0, 1][..]));
        assert_eq!(answer[answer.len() - 4..], [127, 0, 0, 1]);
        let other = question.answer("other.test");
        assert_eq!((&other[2..4], &other[6..8]), (&[0x81, 0x83][..], &[0, 0][..]));
        let ipv6 = Question::parse(&query(28)).expect("a question").answer("iam.test");
        assert_eq!((&ipv6[2..4], &ipv6[6..8]), (&[0x81, 0x80][..], &[0, 0][..]));
    }
}
