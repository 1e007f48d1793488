//! Where evidence comes from.

use phala_protocol::evidence::Evidence;

/// A TEE, or what stands in for one in development.
pub trait Platform: Send + Sync {
	/// Evidence whose report carries `report_data`.
	///
	/// # Errors
	/// What the platform said.
	fn evidence(&self, report_data: &[u8; 64]) -> Result<Evidence, PlatformError>;

	/// What a person reads in logs and on screens: for software, that it proves nothing.
	fn describe(&self) -> &'static str;
}

/// Why a platform gave no evidence.
#[derive(Debug, thiserror::Error)]
pub enum PlatformError {
	/// The running binary could not be measured.
	#[error("the running binary could not be read to measure it: {0}")]
	Unmeasurable(#[from] std::io::Error),
	/// Neither configfs-tsm nor Gramine's attestation device is there, or no driver of ours fits.
	#[error("no TEE of a kind that this version supports was found on this machine")]
	NotFound,
}

/// The TEE of this machine. **None is supported yet**: a build without `software-evidence` refuses
/// to start.
///
/// # Errors
/// [`PlatformError::NotFound`].
#[cfg(not(feature = "software-evidence"))]
pub fn find() -> Result<HardwarePlatform, PlatformError> {
	Err(PlatformError::NotFound)
}

/// No value of it exists until a TEE's driver is here.
#[cfg(not(feature = "software-evidence"))]
pub enum HardwarePlatform {}

#[cfg(not(feature = "software-evidence"))]
impl Platform for HardwarePlatform {
	fn evidence(&self, _: &[u8; 64]) -> Result<Evidence, PlatformError> {
		match *self {}
	}

	fn describe(&self) -> &'static str {
		match *self {}
	}
}

#[cfg(feature = "software-evidence")]
pub use software::SoftwarePlatform;

#[cfg(feature = "software-evidence")]
mod software {
	use super::*;
	use codec::Encode;
	use phala_keys::sr25519::sign_with_published_seed;
	use phala_protocol::{
		blake2_256,
		evidence::{
			Measurement, PlatformId, SoftwareEvidence, SoftwareReport, SoftwareReportContent,
			DEVELOPMENT_ROOT_SEED,
		},
	};

	/// Signs with a published key. **Proves nothing**: for development networks.
	pub struct SoftwarePlatform {
		measurement: Measurement,
		platform: PlatformId,
	}

	impl SoftwarePlatform {
		/// Measures the running binary. `name` stands in for the identity of the machine.
		///
		/// # Errors
		/// [`PlatformError::Unmeasurable`].
		pub fn measure(name: &str) -> Result<Self, PlatformError> {
			let binary = std::fs::read("/proc/self/exe")?;
			Ok(Self { measurement: blake2_256(&binary), platform: blake2_256(name.as_bytes()) })
		}

		/// With a measurement of the caller's choice, for tests.
		pub fn pretending(measurement: Measurement, name: &str) -> Self {
			Self { measurement, platform: blake2_256(name.as_bytes()) }
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
	}
}
