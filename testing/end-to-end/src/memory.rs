//! The secret keys of a boot, read out of the memory of its process: what must be found nowhere else.
//! A development worker runs outside an enclave, so its memory can be read by who started it.

use anyhow::{ensure, Context};
use curve25519_dalek::{MontgomeryPoint, RistrettoPoint, Scalar};
use memchr::memmem;
use std::{
	fs::{self, File},
	os::unix::fs::FileExt,
};

/// How far from a copy of a public key its secret is looked for, in bytes: structs hold them together.
const NEIGHBOURHOOD: usize = 1024;

/// Fields of keys stand at multiples of this.
const ALIGNMENT: usize = 4;

/// A larger piece of address space is a reservation of the sandbox's.
const REGION_BYTES_MAX: u64 = 256 << 20;

/// The secrets of one boot.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct BootSecrets {
	/// The scalar of its sr25519 identity.
	pub identity: [u8; 32],
	/// Its X25519 key.
	pub encryption: [u8; 32],
}

/// Those whose public keys are these.
pub fn boot_secrets(
	process: u32,
	identity: [u8; 32],
	encryption: [u8; 32],
) -> anyhow::Result<BootSecrets> {
	let (mut identity_secret, mut encryption_secret) = (None, None);
	let maps = fs::read_to_string(format!("/proc/{process}/maps"))?;
	let memory = File::open(format!("/proc/{process}/mem"))?;
	let mut looked_through = 0;
	for (start, end) in maps.lines().filter_map(writable) {
		if end - start > REGION_BYTES_MAX {
			continue;
		}
		let mut region = vec![0; usize::try_from(end - start)?];
		// A region may vanish meanwhile, and some cannot be read.
		if memory.read_exact_at(&mut region, start).is_err() {
			continue;
		}
		looked_through += region.len();
		for public in [&identity, &encryption] {
			for at in memmem::find_iter(&region, public) {
				let first = at.saturating_sub(NEIGHBOURHOOD) / ALIGNMENT * ALIGNMENT;
				let last = (at + NEIGHBOURHOOD).min(region.len());
				for place in (first..last).step_by(ALIGNMENT) {
					let Some(bytes) = region.get(place..place + 32) else { break };
					let secret: [u8; 32] = bytes.try_into()?;
					let scalar = Scalar::from_canonical_bytes(secret).into_option();
					let point = scalar.map(|scalar| RistrettoPoint::mul_base(&scalar).compress());
					if point.is_some_and(|point| point.0 == identity) {
						identity_secret = Some(secret);
					}
					if MontgomeryPoint::mul_base_clamped(secret).0 == encryption {
						encryption_secret = Some(secret);
					}
				}
			}
		}
		if let (Some(identity), Some(encryption)) = (identity_secret, encryption_secret) {
			return Ok(BootSecrets { identity, encryption });
		}
	}
	ensure!(looked_through > 0, "the memory of process {process} cannot be read");
	identity_secret.with_context(|| format!("no identity key in {looked_through} bytes"))?;
	encryption_secret.with_context(|| format!("no encryption key in {looked_through} bytes"))?;
	anyhow::bail!("both keys were found")
}

/// Start and end of a region that can be written, in the form of /proc/pid/maps.
fn writable(line: &str) -> Option<(u64, u64)> {
	let mut fields = line.split_whitespace();
	let (range, rights) = (fields.next()?, fields.next()?);
	let (start, end) = range.split_once('-')?;
	let address = |text| u64::from_str_radix(text, 16).ok();
	rights.starts_with("rw").then_some((address(start)?, address(end)?))
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn secrets_beside_their_public_keys_are_found_in_this_very_process() {
		let encryption_secret = [7; 32];
		let scalar = Scalar::from(123_456_789_u64);
		let mut kept = Box::new([[0; 32]; 5]);
		kept[0] = scalar.to_bytes();
		kept[2] = RistrettoPoint::mul_base(&scalar).compress().0;
		kept[3] = encryption_secret;
		kept[4] = MontgomeryPoint::mul_base_clamped(encryption_secret).0;
		let kept = std::hint::black_box(kept);
		let found = boot_secrets(std::process::id(), kept[2], kept[4]).unwrap();
		assert!(found == BootSecrets { identity: kept[0], encryption: kept[3] });
		assert!(boot_secrets(std::process::id(), [1; 32], kept[4]).is_err());
	}
}
