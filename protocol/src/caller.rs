//! Who asks an agent.

use crate::{agents::AgentId, AccountBytes};
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::TypeInfo;

/// Who a call comes from, as the one who received it knows for certain.
#[derive(
	Clone,
	Copy,
	Debug,
	PartialEq,
	Eq,
	PartialOrd,
	Ord,
	Hash,
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
)]
pub enum Caller {
	/// An account of this chain: it signed the extrinsic or the HTTP request.
	#[codec(index = 0)]
	Account(AccountBytes),
	/// Another agent, proven by the enclave that runs it.
	#[codec(index = 1)]
	Agent(AgentId),
	/// Whoever showed the access token with this hash.
	#[codec(index = 2)]
	Token([u8; 32]),
	/// An Ethereum account. Nothing on this network speaks for one yet: calls that claim one are
	/// refused.
	#[codec(index = 3)]
	Evm([u8; 20]),
}

impl Caller {
	/// The account of this chain that it is, if it is one.
	pub fn account(&self) -> Option<&AccountBytes> {
		match self {
			Self::Account(account) => Some(account),
			_ => None,
		}
	}
}

impl From<AccountBytes> for Caller {
	fn from(account: AccountBytes) -> Self {
		Self::Account(account)
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn only_an_account_is_an_account() {
		assert_eq!(Caller::from([1; 32]).account(), Some(&[1; 32]));
		for other in [Caller::Agent([1; 32].into()), Caller::Token([1; 32]), Caller::Evm([1; 20])] {
			assert_eq!(other.account(), None);
		}
	}
}
