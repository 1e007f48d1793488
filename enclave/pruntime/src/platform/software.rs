//! What stands in for a TEE in development.

use super::{Platform, PlatformError};
use codec::Encode;
use phala_keys::sr25519::sign_with_published_seed;
use phala_machine::Instant;
use phala_protocol::{
	blake2_256,
	evidence::{
		Evidence, Measurement, PlatformId, SoftwareEvidence, SoftwareReport, SoftwareReportContent,
		DEVELOPMENT_ROOT_SEED,
	},
};

/// Signs with a published key. **Proves nothing**: for development networks.
pub struct SoftwarePlatform {
	measurement: Measurement,
	platform: PlatformId,
	started: std::time::Instant,
}

impl SoftwarePlatform {
	/// Measures the running binary. `name` stands in for the identity of the machine.
	pub fn measure(name: &str) -> Result<Self, PlatformError> {
		let binary = std::fs::read("/proc/self/exe")?;
		Ok(Self::pretending(blake2_256(&binary), name))
	}

	/// With a measurement of the caller's choice, for tests.
	pub fn pretending(measurement: Measurement, name: &str) -> Self {
		let platform = blake2_256(name.as_bytes());
		Self { measurement, platform, started: std::time::Instant::now() }
	}

	/// BLAKE2-256 of the running binary.
	pub fn measurement(&self) -> Measurement {
		self.measurement
	}
}

impl Platform for SoftwarePlatform {
	fn evidence(&self, report_data: &[u8; 64]) -> Result<Evidence, PlatformError> {
		let report = SoftwareReport {
			measurement: self.measurement,
			platform: self.platform,
			report_data: *report_data,
			debug: false,
		};
		let content = SoftwareReportContent::new(&report).encode();
		let signature = sign_with_published_seed(DEVELOPMENT_ROOT_SEED, &content);
		Ok(Evidence::Software(SoftwareEvidence { report, signature }))
	}

	fn describe(&self) -> &'static str {
		"Software evidence (development only: proves nothing about this machine)"
	}

	/// The system's monotonic clock: software counts as having a counter.
	fn now(&self) -> Instant {
		Instant::from_ms(u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX))
	}

	fn seed(&self) -> Result<[u8; 32], PlatformError> {
		let mut seed = [0; 32];
		getrandom::fill(&mut seed)?;
		Ok(seed)
	}
}
