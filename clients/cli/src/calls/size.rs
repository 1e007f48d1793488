//! Whether what is sent is too long, in the sender's own figures: what is added to it on its way is
//! no matter of theirs.

use crate::failure::CommandError;
use codec::{Compact, CompactLen};
use phala_keys::{
	limits::{PADDING_RESERVE_BYTES, SEALED_PLAINTEXT_BYTES_MAX},
	padding::LENGTH_BYTES,
};
use phala_protocol::limits::REQUEST_INPUT_BYTES_MAX;

/// What is sent, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
	/// A question, sealed, over a worker's public server.
	Direct,
	/// A question, sealed, through the chain.
	OnChain,
	/// A question through the chain, for everybody to read.
	Public,
	/// A secret, sealed, through the chain.
	Secret,
}

/// Sealed with what is sent: the caller, a nonce, the reply key, the one component that may read it, the
/// block of its expiry.
const SEALED_WITH_BYTES: usize = (1 + 32) + 32 + 32 + (1 + 32) + 4;

impl Sent {
	/// Refuses what is too long, of which the sender gave `given` bytes, and which is `whole` bytes of
	/// SCALE with what goes with it.
	pub fn check(self, given: usize, whole: usize) -> anyhow::Result<()> {
		let room = self.room();
		if whole <= room {
			return Ok(());
		}
		let (what, remedy) = match self {
			Self::Direct => ("a body", "send it in parts"),
			Self::OnChain | Self::Public => {
				("a body", "send less, or call directly (without --on-chain)")
			}
			Self::Secret => {
				("a secret", "keep what is long elsewhere, and give the agent what opens it")
			}
		};
		let fit = room.saturating_sub(whole.saturating_sub(given));
		let message = format!("{what} of {given} bytes is too long: at most {fit} fit; {remedy}");
		Err(CommandError::new("InputTooLong", message).into())
	}

	/// Most bytes of SCALE that go this way.
	fn room(self) -> usize {
		const ON_CHAIN: usize = REQUEST_INPUT_BYTES_MAX as usize;
		let plaintext = match self {
			Self::Direct => SEALED_PLAINTEXT_BYTES_MAX,
			Self::OnChain | Self::Secret => ON_CHAIN - PADDING_RESERVE_BYTES - LENGTH_BYTES,
			Self::Public => return ON_CHAIN,
		};
		let with_length = plaintext - SEALED_WITH_BYTES;
		// How long it is stands before it, in 1 to 5 bytes.
		let lengths = 1..=5usize;
		let mut longest = lengths.map(|length| with_length - length);
		longest.find(|bytes| length_bytes(*bytes) + bytes <= with_length).unwrap_or_default()
	}
}

fn length_bytes(bytes: usize) -> usize {
	u32::try_from(bytes).map_or(5, |bytes| Compact::compact_len(&bytes))
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::randomness;
	use codec::Encode;
	use phala_keys::{
		hpke::DecryptionKey,
		input::{seal_input, InputContext, InputKind, SealedInput},
		secret::SecretBytes,
	};
	use phala_protocol::{caller::Caller, requests::CallInput, H256};

	/// How long a sealed input is, if it can be sealed.
	fn sealed(bytes: usize, kind: InputKind) -> Option<usize> {
		let mut rng = randomness::generator().unwrap();
		let key = DecryptionKey::generate(&mut rng).public();
		let input = SealedInput {
			caller: Caller::Account([1; 32]),
			nonce: [2; 32],
			reply_key: DecryptionKey::generate(&mut rng).public(),
			accepted_code_hashes: vec![H256([3; 32])],
			expiry_block: 4,
			body: SecretBytes::new(vec![5; bytes]),
		};
		let context = InputContext::new(H256([6; 32]), H256([7; 32]), 1, kind);
		seal_input(&mut rng, &key, &context, &input).ok().map(|sealed| sealed.encode().len())
	}

	#[test]
	fn what_is_let_through_can_be_sealed_and_one_byte_more_cannot() {
		let taken = |bytes| bytes <= REQUEST_INPUT_BYTES_MAX as usize;
		for (sent, kind) in
			[(Sent::OnChain, InputKind::Request), (Sent::Secret, InputKind::OwnerSecrets)]
		{
			assert!(sealed(sent.room(), kind).is_some_and(taken), "{sent:?}");
			assert!(!sealed(sent.room() + 1, kind).is_some_and(taken), "{sent:?}");
		}
		assert!(sealed(Sent::Direct.room(), InputKind::Direct).is_some());
		assert!(sealed(Sent::Direct.room() + 1, InputKind::Direct).is_none());
	}

	#[test]
	fn a_body_that_is_too_long_is_refused_in_the_sender_s_own_figures() {
		for sent in [Sent::Direct, Sent::OnChain, Sent::Public] {
			let whole = |bytes| {
				CallInput { path: b"/a".to_vec(), body: vec![0; bytes], ..Default::default() }
					.encoded_size()
			};
			let given = 2 * sent.room();
			let refused = sent.check(given, whole(given)).unwrap_err().to_string();
			assert!(refused.contains(&format!("of {given} bytes")), "{refused}");
			let fit = refused.split("at most ").nth(1).unwrap().split(' ').next().unwrap();
			let fit: usize = fit.parse().unwrap();
			sent.check(fit, whole(fit)).unwrap();
			assert!(sent.check(fit + 4, whole(fit + 4)).is_err(), "{sent:?}");
		}
	}
}
