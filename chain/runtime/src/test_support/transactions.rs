//! Calls in extrinsics, as clients encode them. To be called where there is a state: what is signed
//! covers the chain's genesis hash.

use crate::*;
use codec::Encode;
use frame_metadata_hash_extension::CheckMetadataHash;
use phala_protocol::mailbox::Envelope;
use sp_runtime::{
	generic::Era, transaction_validity::TransactionValidityError, MultiSignature as AnySignature,
};

/// What a transaction carries: immortal, without a tip, without a hash of metadata.
pub fn extensions(nonce: Nonce) -> TransactionExtensions {
	(
		frame_system::AuthorizeCall::new(),
		frame_system::CheckNonZeroSender::new(),
		frame_system::CheckSpecVersion::new(),
		frame_system::CheckTxVersion::new(),
		frame_system::CheckGenesis::new(),
		frame_system::CheckEra::from(Era::Immortal),
		frame_system::CheckNonce::from(nonce),
		frame_system::CheckWeight::new(),
		pallet_transaction_payment::ChargeTransactionPayment::from(0),
		CheckMetadataHash::new(false),
		frame_system::WeightReclaim::new(),
	)
}

/// A call as one of `account`'s transactions; `sign` signs sr25519 as Substrate does.
pub fn signed(
	account: AccountId,
	nonce: Nonce,
	call: RuntimeCall,
	sign: impl FnOnce(&[u8]) -> [u8; 64],
) -> Result<UncheckedExtrinsic, TransactionValidityError> {
	let payload = SignedPayload::new(call.clone(), extensions(nonce))?;
	let signature = payload.using_encoded(sign);
	let signature = AnySignature::Sr25519(signature.into());
	Ok(UncheckedExtrinsic::new_signed(call, account.into(), signature, extensions(nonce)))
}

/// An enclave's envelope, as a relayer brings it.
pub fn envelope(envelope: Envelope) -> UncheckedExtrinsic {
	let call = RuntimeCall::Mailbox(pallet_mailbox::Call::submit_envelope { envelope });
	UncheckedExtrinsic::new_transaction(call, extensions(0))
}
