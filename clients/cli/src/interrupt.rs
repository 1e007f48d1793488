//! What a signal may leave behind: a command that has sent something says so when it is interrupted, with
//! what to look at before it is repeated.
//!
//! Until something was sent a signal ends the process as ever, and there is nothing to say. Networks and
//! `phala dev` stop in order and have signals of their own: they are not [`arm`]ed.

use crate::failure::{self, CommandError};
use phala_chain_client::{Chain, Sender};
use phala_protocol::H256;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use subxt_signer::sr25519::Keypair;
use tokio::signal::unix::{signal, SignalKind};

/// What a shell reports of a process that a signal ended: this, and the signal's number.
const EXIT_SIGNALLED: i32 = 128;

static ARMED: OnceLock<Armed> = OnceLock::new();

struct Armed {
	json: bool,
	left: Mutex<Left>,
	watching: OnceLock<()>,
}

impl Armed {
	fn left(&self) -> MutexGuard<'_, Left> {
		self.left.lock().unwrap_or_else(PoisonError::into_inner)
	}
}

/// What a command leaves if it ends now.
#[derive(Default)]
struct Left {
	/// Transactions that a node was given, or is being given: what they call, and their hashes.
	transactions: Vec<(&'static str, H256)>,
	/// What to do then.
	advice: Option<String>,
}

impl Left {
	/// One that is signed anew takes the place of what can no longer take effect.
	fn submitted(&mut self, call: &'static str, hash: H256) {
		match self.transactions.last_mut().filter(|(last, _)| *last == call) {
			Some(last) => last.1 = hash,
			None => self.transactions.push((call, hash)),
		}
	}

	/// Nothing of a command that has sent nothing.
	fn text(&self) -> Option<String> {
		let sent = match &self.transactions[..] {
			[] => None,
			transactions => {
				let named = transactions.iter().map(|(call, hash)| format!("{hash:?} ({call})"));
				let named = named.collect::<Vec<_>>().join(", ");
				Some(format!("submitted, and in a block already or maybe yet: transaction {named}"))
			}
		};
		let usual = "look whether it took effect before you do it again";
		let advice = self.advice.clone().or_else(|| sent.as_ref().map(|_| usual.to_owned()))?;
		Some(match sent {
			Some(sent) => format!("interrupted; {sent}. {advice}"),
			None => format!("interrupted. {advice}"),
		})
	}
}

/// From now on a command that is interrupted says what it leaves behind.
pub fn arm(json: bool) {
	let _ = ARMED.set(Armed { json, left: Mutex::default(), watching: OnceLock::new() });
}

/// What to do if this process is interrupted from now on: something was sent, or is about to be.
pub fn advise(advice: impl Into<String>) {
	note(|left| left.advice = Some(advice.into()));
}

/// An account whose transactions are named if this process is interrupted.
pub fn sender(chain: &Chain, keypair: Keypair) -> Sender {
	let note = |call, hash| note(|left| left.submitted(call, hash));
	Sender::new(chain, keypair).telling(Arc::new(note))
}

fn note(what: impl FnOnce(&mut Left)) {
	let Some(armed) = ARMED.get() else { return };
	what(&mut armed.left());
	armed.watching.get_or_init(|| {
		tokio::spawn(watch(armed));
	});
}

async fn watch(armed: &'static Armed) {
	// Not of a terminal that goes: nobody reads what is said then, and `nohup` has that ignored.
	let kinds = [SignalKind::interrupt(), SignalKind::terminate()];
	let [Ok(mut interrupt), Ok(mut terminate)] = kinds.map(signal) else {
		// Then a signal ends it as ever.
		return;
	};
	let kind = tokio::select! {
		_ = interrupt.recv() => SignalKind::interrupt(),
		_ = terminate.recv() => SignalKind::terminate(),
	};
	if let Some(text) = armed.left().text() {
		if armed.json {
			failure::print(&CommandError::new("Interrupted", text.clone()).into());
		}
		say!("\n{text}");
	}
	std::process::exit(EXIT_SIGNALLED + kind.as_raw_value());
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn what_was_sent_is_named_with_what_to_do_and_nothing_is_said_of_what_was_not() {
		let mut left = Left::default();
		assert_eq!(left.text(), None);
		left.submitted("balances.transfer", H256([1; 32]));
		// Another process took its number: that one counts no more.
		left.submitted("balances.transfer", H256([2; 32]));
		let text = left.text().unwrap();
		assert!(!text.contains(&format!("{:?}", H256([1; 32]))), "{text}");
		for part in [&format!("{:?} (balances.transfer)", H256([2; 32])), "look whether"] {
			assert!(text.contains(part), "{text}");
		}
		left.submitted("agents.upgrade", H256([3; 32]));
		left.advice = Some("once more goes on".into());
		let text = left.text().unwrap();
		for part in ["balances.transfer), 0x0303", "agents.upgrade). once more goes on"] {
			assert!(text.contains(part), "{text}");
		}
		let asked = Left { advice: Some("read the state".into()), ..Left::default() };
		assert_eq!(asked.text().unwrap(), "interrupted. read the state");
	}
}
