//! Those who sign transactions and calls.

use phala_keys::sr25519::{public_of_published_seed, sign_with_published_seed};
use phala_protocol::{caller::Caller, AccountBytes};
use phala_runtime::AccountId;
use sp_core::{sr25519, Pair};

/// A key pair that everybody knows. It signs without the system's randomness, so that the same seed
/// makes the same bytes: `sp_core` would not.
#[derive(Clone)]
pub struct Account {
	seed: [u8; 32],
	pub id: AccountId,
}

impl Account {
	/// One of genesis, by its development URI.
	pub fn development(uri: &str) -> Self {
		let (_, seed) = sr25519::Pair::from_string_with_seed(uri, None).expect("a development URI");
		let seed = seed.expect("a hard path has a seed");
		Self { seed, id: public_of_published_seed(seed).into() }
	}

	pub fn bytes(&self) -> AccountBytes {
		self.id.clone().into()
	}

	pub fn caller(&self) -> Caller {
		Caller::Account(self.bytes())
	}

	/// sr25519, as Substrate signs.
	pub fn sign(&self, message: &[u8]) -> [u8; 64] {
		sign_with_published_seed(self.seed, message)
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn an_account_is_that_of_its_uri_and_signs_alike_twice() {
		let pair = sr25519::Pair::from_string("//Bob", None).unwrap();
		let account = Account::development("//Bob");
		assert_eq!(account.id, AccountId::from(pair.public()));
		let signature = account.sign(b"a call");
		assert_eq!(signature, account.sign(b"a call"));
		assert!(sr25519::Pair::verify(&signature.into(), b"a call", &pair.public()));
	}
}
