//! From the pinned block 0, by finality, to the block at which facts are proven.

use crate::file::{ChainEvidence, VerifierError};
use alloc::{string::ToString, vec::Vec};
use codec::DecodeAll;
use phala_light_client::{
	limits::{FINALITY_BYTES_PER_BUNDLE_MAX, STEPS_PER_BUNDLE_MAX},
	LightClient, ProvenState,
};
use phala_protocol::{
	relay::{FinalityStep, GenesisBundle, StateProof},
	H256,
};

/// Follows finality under the chain whose block 0 has the hash `pinned`: where that leads, and what
/// is proven of the state there.
pub(crate) fn follow(
	evidence: &ChainEvidence,
	pinned: H256,
) -> Result<(LightClient, ProvenState), VerifierError> {
	let bundle: GenesisBundle = read("block 0", &evidence.genesis_bundle.0)?;
	let steps: Vec<FinalityStep> = read("finality", &evidence.finality.0)?;
	let proof: StateProof = read("the state proof", &evidence.state_proof.0)?;
	let mut client = LightClient::from_genesis(pinned, &bundle)?;
	for steps in bundles(&steps) {
		client = client.advance(steps)?;
	}
	let state = client.prove(proof)?;
	Ok((client, state))
}

pub(crate) fn read<T: DecodeAll>(what: &'static str, bytes: &[u8]) -> Result<T, VerifierError> {
	T::decode_all(&mut &bytes[..])
		.map_err(|error| VerifierError::Unreadable { what, reason: error.to_string() })
}

/// Steps in groups of what a light client takes at once: so many of them, so many bytes.
fn bundles(mut rest: &[FinalityStep]) -> impl Iterator<Item = &[FinalityStep]> {
	core::iter::from_fn(move || {
		let mut bytes = 0;
		let fits = |step: &&FinalityStep| {
			bytes =
				step.header.len().saturating_add(step.justification.len()).saturating_add(bytes);
			bytes <= FINALITY_BYTES_PER_BUNDLE_MAX
		};
		let count = rest.iter().take(STEPS_PER_BUNDLE_MAX).take_while(fits).count();
		// One that is too much for a bundle of its own is for the light client to refuse by name.
		let (bundle, later) = rest.split_at_checked(count.max(1))?;
		rest = later;
		Some(bundle)
	})
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects)]
mod tests {
	use super::*;
	use alloc::vec;

	fn counts(steps: &[FinalityStep]) -> Vec<usize> {
		bundles(steps).map(<[_]>::len).collect()
	}

	fn steps(count: usize, bytes: usize) -> Vec<FinalityStep> {
		vec![FinalityStep { header: vec![0; 1], justification: vec![0; bytes - 1] }; count]
	}

	#[test]
	fn a_bundle_has_as_many_steps_and_bytes_as_a_light_client_takes_and_no_more() {
		assert!(counts(&[]).is_empty());
		assert_eq!(counts(&steps(STEPS_PER_BUNDLE_MAX, 1)), [STEPS_PER_BUNDLE_MAX]);
		assert_eq!(counts(&steps(STEPS_PER_BUNDLE_MAX + 1, 1)), [STEPS_PER_BUNDLE_MAX, 1]);
		let quarter = FINALITY_BYTES_PER_BUNDLE_MAX / 4;
		assert_eq!(counts(&steps(4, quarter)), [4]);
		assert_eq!(counts(&steps(5, quarter)), [4, 1]);
		assert_eq!(counts(&steps(4, quarter + 1)), [3, 1]);
		assert_eq!(counts(&steps(2, FINALITY_BYTES_PER_BUNDLE_MAX + 1)), [1, 1], "refused by name");
	}
}
