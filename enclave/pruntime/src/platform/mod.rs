//! The port to the TEE: evidence, its counter, randomness.

#[cfg(feature = "software-evidence")]
mod software;

#[cfg(feature = "software-evidence")]
pub use software::SoftwarePlatform;

use phala_machine::Instant;
use phala_protocol::evidence::Evidence;

/// A TEE, or what stands in for one in development.
pub trait Platform: Send + Sync {
	/// Evidence whose report carries `report_data`. A real TEE takes a while over it.
	fn evidence(&self, report_data: &[u8; 64]) -> Result<Evidence, PlatformError>;

	/// What a person reads in logs and on screens: for software, that it proves nothing.
	fn describe(&self) -> &'static str;

	/// The platform's own counter, never the host's clock: it only goes forward.
	fn now(&self) -> Instant;

	/// 32 random bytes.
	fn seed(&self) -> Result<[u8; 32], PlatformError>;
}

/// Why a platform gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum PlatformError {
	#[error("the running binary could not be read to measure it: {0}")]
	Unmeasurable(#[from] std::io::Error),
	#[error("the system gives no randomness: {0}")]
	NoRandomness(#[from] getrandom::Error),
	/// Neither configfs-tsm nor Gramine's attestation device is there, or no driver of ours fits.
	#[error("no TEE of a kind that this version supports was found on this machine; `make` builds a pruntime for development, which needs none")]
	NotFound,
}

/// The TEE of this machine. **None is supported yet**: a build without `software-evidence` refuses
/// to start.
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

	fn now(&self) -> Instant {
		match *self {}
	}

	fn seed(&self) -> Result<[u8; 32], PlatformError> {
		match *self {}
	}
}
