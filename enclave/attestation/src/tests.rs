use super::*;
use codec::Encode;
use phala_protocol::evidence::{SoftwareEvidence, SoftwareReportContent};
use sp_core::{sr25519, Pair};

const REPORT_DATA: [u8; 64] = [5; 64];
const MEASUREMENT: Measurement = H256::repeat_byte(1);

fn root() -> sr25519::Pair {
	sr25519::Pair::from_seed(&[1; 32])
}

fn roots() -> Roots {
	Roots {
		software: Some(root().public().0),
		verify_sr25519: |signature, message, public| {
			sr25519::Pair::verify(
				&sr25519::Signature::from_raw(*signature),
				message,
				&sr25519::Public::from_raw(*public),
			)
		},
	}
}

fn evidence(by: &sr25519::Pair, debug: bool) -> Evidence {
	let report = SoftwareReport {
		measurement: MEASUREMENT,
		platform: H256::repeat_byte(2),
		report_data: REPORT_DATA,
		debug,
	};
	let signature = by.sign(&SoftwareReportContent::new(&report).encode()).0;
	Evidence::Software(SoftwareEvidence { report, signature })
}

#[cfg(feature = "software-evidence")]
#[test]
fn honest_evidence_passes_all_four_verdicts() {
	let accepted = verify(&evidence(&root(), false), &roots(), &REPORT_DATA, |_| true);
	assert_eq!(accepted.map(|report| report.measurement), Ok(MEASUREMENT));
}

#[cfg(feature = "software-evidence")]
#[test]
fn each_verdict_refuses_its_own_liar() {
	let forger = sr25519::Pair::from_seed(&[9; 32]);
	assert_eq!(
		verify(&evidence(&forger, false), &roots(), &REPORT_DATA, |_| true),
		Err(EvidenceError::BadSignature)
	);
	let Evidence::Software(mut altered) = evidence(&root(), false);
	altered.report.measurement = H256::repeat_byte(7);
	assert_eq!(
		verify(&Evidence::Software(altered), &roots(), &REPORT_DATA, |_| true),
		Err(EvidenceError::BadSignature)
	);
	let mut copied = REPORT_DATA;
	copied[0] = 0;
	assert!(matches!(
		verify(&evidence(&root(), false), &roots(), &copied, |_| true),
		Err(EvidenceError::NotBound { .. })
	));
	let mut padding = REPORT_DATA;
	padding[63] = 0;
	assert!(matches!(
		verify(&evidence(&root(), false), &roots(), &padding, |_| true),
		Err(EvidenceError::NotBound { .. })
	));
	assert_eq!(
		verify(&evidence(&root(), true), &roots(), &REPORT_DATA, |_| true),
		Err(EvidenceError::Debuggable)
	);
	assert_eq!(
		verify(&evidence(&root(), false), &roots(), &REPORT_DATA, |_| false),
		Err(EvidenceError::MeasurementNotAllowed(MEASUREMENT))
	);
}

#[test]
fn software_evidence_is_refused_where_no_root_is_named() {
	let roots = Roots { software: None, ..roots() };
	assert_eq!(
		verify(&evidence(&root(), false), &roots, &REPORT_DATA, |_| true),
		Err(EvidenceError::KindNotAccepted(EvidenceKind::Software))
	);
}

#[cfg(not(feature = "software-evidence"))]
#[test]
fn a_production_build_refuses_software_evidence_even_with_a_root() {
	assert_eq!(
		verify(&evidence(&root(), false), &roots(), &REPORT_DATA, |_| true),
		Err(EvidenceError::KindNotAccepted(EvidenceKind::Software))
	);
}
