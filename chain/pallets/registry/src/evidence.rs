//! What a boot shows of itself, and why it is refused.

use crate::*;
use codec::DecodeAll;
use phala_attestation::{AcceptedReport, EvidenceError, Roots};

impl<T: Config> Pallet<T> {
	pub(crate) fn verify_evidence(
		record: &Worker<T::AccountId>,
		worker: WorkerId,
		keys: &BootKeys,
		evidence: &[u8],
		recent_block: BlockNumber,
	) -> Result<AcceptedReport, DispatchError> {
		ensure!(
			evidence.len() as u64 <= u64::from(limits::EVIDENCE_BYTES_MAX),
			Error::<T>::EvidenceTooLong
		);
		let evidence =
			Evidence::decode_all(&mut &evidence[..]).map_err(|_| Error::<T>::EvidenceMalformed)?;
		// Registering and renewing have no component for the size of evidence: another kind takes one.
		let Evidence::Software(_) = &evidence;
		let now = Self::now();
		// `now` has no hash yet, and a number that has not come yet has none either.
		ensure!(
			recent_block < now && now - recent_block <= limits::EVIDENCE_BLOCK_AGE_MAX,
			Error::<T>::EvidenceBlockTooOld
		);
		let hash_of_block = |number: BlockNumber| {
			frame_system::Pallet::<T>::block_hash(BlockNumberFor::<T>::from(number))
		};
		let recent_hash: H256 = hash_of_block(recent_block);
		ensure!(!recent_hash.is_zero(), Error::<T>::EvidenceBlockTooOld);
		let statement = BootStatement::new(
			hash_of_block(BlockNumber::zero()),
			worker,
			record.operator.clone().into(),
			*keys,
			recent_hash,
		);
		let roots = Roots {
			software: SoftwareRoot::<T>::get(),
			verify_sr25519: |signature, message, public| {
				sp_io::crypto::sr25519_verify(
					&sp_core::sr25519::Signature::from_raw(*signature),
					message,
					&sp_core::sr25519::Public::from_raw(*public),
				)
			},
		};
		let report = phala_attestation::verify(
			&evidence,
			&roots,
			&statement.report_data(),
			Self::is_allowed,
		)
		.map_err(Error::<T>::from)?;

		ensure!(!BannedPlatforms::<T>::contains_key(report.platform), Error::<T>::PlatformBanned);
		match PlatformWorker::<T>::get(report.platform) {
			Some(other) if other != worker => return Err(Error::<T>::PlatformInOtherWorker.into()),
			_ => {}
		}
		ensure!(
			record.platform.is_none_or(|platform| platform == report.platform),
			Error::<T>::OtherPlatform
		);
		Ok(report)
	}
}

impl<T> From<EvidenceError> for Error<T> {
	fn from(refused: EvidenceError) -> Self {
		match refused {
			EvidenceError::KindNotAccepted(_) => Self::EvidenceKindNotAccepted,
			EvidenceError::BadSignature => Self::EvidenceBadSignature,
			EvidenceError::NotBound { .. } => Self::EvidenceNotBound,
			EvidenceError::Debuggable => Self::EvidenceDebuggable,
			EvidenceError::MeasurementNotAllowed(_) => Self::MeasurementNotAllowed,
		}
	}
}
