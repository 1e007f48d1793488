//! Coarse padding: a ciphertext's length says which step its plaintext fell in, nothing finer.
//!
//! Layout: `u32` little-endian length, the body, zeros. Inside an AEAD, so the zeros are checked
//! only to keep one encoding for one plaintext.

use crate::{
	error::Error,
	limits::{
		PADDING_COARSE_FROM_BYTES, PADDING_COARSE_STEP_BYTES, PADDING_RESERVE_BYTES,
		PADDING_STEP_BYTES, SEALED_PLAINTEXT_BYTES_MAX, STATE_VALUE_STEP_BYTES,
	},
	secret::SecretBytes,
};

/// Bytes of the length in front of the body.
pub const LENGTH_BYTES: usize = 4;

/// Which steps a length is rounded up to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Steps {
	/// For messages: [`PADDING_STEP_BYTES`], then [`PADDING_COARSE_STEP_BYTES`], each less
	/// [`PADDING_RESERVE_BYTES`].
	Message,
	/// For values of state: [`STATE_VALUE_STEP_BYTES`] up to [`PADDING_STEP_BYTES`], then as
	/// messages.
	StateValue,
}

/// Length after padding of a body of `body_bytes`.
pub fn padded_bytes(steps: Steps, body_bytes: usize) -> usize {
	let wanted = body_bytes + LENGTH_BYTES;
	if steps == Steps::StateValue && wanted <= PADDING_STEP_BYTES - PADDING_RESERVE_BYTES {
		return wanted
			.next_multiple_of(STATE_VALUE_STEP_BYTES)
			.min(PADDING_STEP_BYTES - PADDING_RESERVE_BYTES);
	}
	let envelope = wanted + PADDING_RESERVE_BYTES;
	let step = if envelope <= PADDING_COARSE_FROM_BYTES {
		PADDING_STEP_BYTES
	} else {
		PADDING_COARSE_STEP_BYTES
	};
	envelope.next_multiple_of(step) - PADDING_RESERVE_BYTES
}

pub(crate) fn pad(steps: Steps, body: &[u8]) -> Result<SecretBytes, Error> {
	if body.len() > SEALED_PLAINTEXT_BYTES_MAX {
		return Err(Error::TooLong {
			what: "plaintext",
			bytes: body.len(),
			bytes_max: SEALED_PLAINTEXT_BYTES_MAX,
		});
	}
	let total = padded_bytes(steps, body.len());
	let mut padded = SecretBytes::with_capacity(total);
	let bytes = padded.expose_mut();
	bytes.extend_from_slice(&(body.len() as u32).to_le_bytes());
	bytes.extend_from_slice(body);
	bytes.resize(total, 0);
	Ok(padded)
}

pub(crate) fn unpad(steps: Steps, padded: &[u8]) -> Result<&[u8], Error> {
	let malformed = || Error::Malformed { what: "padding" };
	let (length, rest) = padded.split_first_chunk::<LENGTH_BYTES>().ok_or_else(malformed)?;
	let length = u32::from_le_bytes(*length) as usize;
	if length > SEALED_PLAINTEXT_BYTES_MAX || padded_bytes(steps, length) != padded.len() {
		return Err(malformed());
	}
	let (body, zeros) = rest.split_at_checked(length).ok_or_else(malformed)?;
	if zeros.iter().any(|byte| *byte != 0) {
		return Err(malformed());
	}
	Ok(body)
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn a_length_is_rounded_up_at_the_edge_of_a_step_and_one_past_it() {
		let first = PADDING_STEP_BYTES - PADDING_RESERVE_BYTES;
		assert_eq!(padded_bytes(Steps::Message, 0), first);
		assert_eq!(padded_bytes(Steps::Message, first - LENGTH_BYTES), first);
		assert_eq!(
			padded_bytes(Steps::Message, first - LENGTH_BYTES + 1),
			first + PADDING_STEP_BYTES
		);
		let last = PADDING_COARSE_FROM_BYTES - PADDING_RESERVE_BYTES;
		assert_eq!(padded_bytes(Steps::Message, last - LENGTH_BYTES), last);
		assert_eq!(
			padded_bytes(Steps::Message, last - LENGTH_BYTES + 1),
			last + PADDING_COARSE_STEP_BYTES
		);
		assert_eq!(
			padded_bytes(Steps::StateValue, STATE_VALUE_STEP_BYTES - LENGTH_BYTES),
			STATE_VALUE_STEP_BYTES
		);
		assert_eq!(
			padded_bytes(Steps::StateValue, STATE_VALUE_STEP_BYTES - LENGTH_BYTES + 1),
			2 * STATE_VALUE_STEP_BYTES
		);
	}

	#[test]
	fn whatever_is_padded_is_unpadded_to_the_same_and_lengths_never_shrink() {
		for steps in [Steps::Message, Steps::StateValue] {
			let mut last = 0;
			for length in (0..40_000).step_by(61) {
				let body = vec![7; length];
				let padded = pad(steps, &body).unwrap_or_else(|error| panic!("{error}"));
				assert!(padded.expose().len() >= last);
				last = padded.expose().len();
				assert_eq!(unpad(steps, padded.expose()), Ok(body.as_slice()));
			}
		}
	}

	#[test]
	fn bytes_hidden_in_padding_and_lengths_that_lie_are_refused() {
		let malformed = Err(Error::Malformed { what: "padding" });
		let padded = pad(Steps::Message, b"body").unwrap_or_else(|error| panic!("{error}"));
		let mut hidden = padded.expose().to_vec();
		*hidden.last_mut().unwrap() = 1;
		assert_eq!(unpad(Steps::Message, &hidden), malformed);
		let mut lying = padded.expose().to_vec();
		lying[..4].copy_from_slice(&u32::MAX.to_le_bytes());
		assert_eq!(unpad(Steps::Message, &lying), malformed);
		assert_eq!(unpad(Steps::Message, &[0; 3]), malformed);
		assert_eq!(unpad(Steps::Message, &padded.expose()[..100]), malformed);
	}

	#[test]
	fn the_longest_plaintext_is_padded_and_one_byte_more_is_refused() {
		assert!(pad(Steps::Message, &vec![0; SEALED_PLAINTEXT_BYTES_MAX]).is_ok());
		assert!(matches!(
			pad(Steps::Message, &vec![0; SEALED_PLAINTEXT_BYTES_MAX + 1]),
			Err(Error::TooLong { what: "plaintext", .. })
		));
	}
}
