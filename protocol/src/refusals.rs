//! Why an enclave says no: one list for relayers, callers and the chain.
//!
//! A refusal has a **name** (in JSON, in logs, on the command line) and a **code** (in SCALE).
//! Both are a wire format: neither is ever changed or used again; new ones are added at the end of
//! their block. The sentence for people is made where the refusal happens, by the error type that
//! knows the details.

use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::TypeInfo;

macro_rules! refusals {
	($($(#[$doc:meta])* $name:ident = $code:literal,)+) => {
		/// See the [module](self).
		#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
		#[repr(u16)]
		pub enum Refusal {
			$($(#[$doc])* $name = $code,)+
		}

		impl Refusal {
			/// All of them, by code.
			pub const ALL: &'static [Self] = &[$(Self::$name),+];

			/// As it stands in JSON.
			pub const fn name(self) -> &'static str {
				match self {
					$(Self::$name => stringify!($name),)+
				}
			}
		}
	};
}

refusals! {
	// --- any request ---

	/// The body is not what the path takes.
	Malformed = 1,
	/// A signature is not by whom it should be.
	BadSignature = 2,
	/// More requests than this server works on at once.
	TooManyRequests = 3,
	/// The body did not come in time.
	BodyTime = 4,
	/// The view of the chain may be old.
	NotFresh = 5,
	/// The enclave is in another phase of its life.
	WrongPhase = 6,
	/// This boot is over.
	Over = 7,
	/// The platform gave no evidence.
	NoEvidence = 8,
	/// This process follows no chain.
	NoChain = 9,
	/// Twice the same message ended a turn: the boot serves no more.
	Suspended = 10,
	/// The server stopped in the middle of it.
	Interrupted = 11,

	// --- relayers: what they bring of the chain ---

	OverLimit = 100,
	ForeignChain = 101,
	NotGenesis = 102,
	NoAuthorities = 103,
	BadAuthoritySet = 104,
	NotNewer = 105,
	OtherBlockJustified = 106,
	UnknownVoter = 107,
	TooManyVotes = 108,
	NotEnoughVotes = 109,
	ForcedChange = 110,
	DelayedChange = 111,
	AmbiguousChange = 112,
	UnknownGrandpaLog = 113,
	SetIdsExhausted = 114,
	ProofIncomplete = 115,
	UnknownTrieNode = 116,
	UnexpectedValue = 117,
	OtherHeader = 118,
	NotFollowed = 119,
	ChannelTwice = 120,
	Missing = 121,
	Reordered = 122,
	HeldBack = 123,
	NotOnChain = 124,
	Altered = 125,
	BodyTooLong = 126,
	NotAfter = 127,
	AheadOfHeader = 128,
	PlaceTwice = 129,
	WentBack = 130,
	FollowedElsewhere = 131,
	/// The enclave stands there already.
	NothingNew = 132,
	/// The chain says what it cannot say.
	ChainBrokeRule = 133,
	/// As many envelopes wait as may.
	OutboxFull = 134,

	// --- calls of agents ---

	NoCluster = 200,
	NoSuchAgent = 201,
	NotReady = 202,
	CallerNotAllowed = 203,
	/// Taken, or brought, before.
	Repeated = 204,
	NotLeaseHolder = 205,
	TooManyCalls = 206,
	TooLate = 207,
	OtherCode = 208,
	MayStillCommit = 209,
	NotCommitted = 210,
	NotOwner = 211,
	QueryTooOld = 212,
	NotFromLeaseHolder = 213,
	NoSuchCode = 214,
	NoSuchSignature = 215,
	CodeNotWanted = 216,
	WrongHash = 217,
	TooLong = 218,
	/// Method and path of a call must be text, and so on.
	BadRequest = 219,
	/// Too many runs of this agent.
	AgentRequests = 220,
	/// Its turn did not come in time.
	WaitTime = 221,
	/// A call that only reads took longer than a worker waits.
	ReadTime = 222,

	// --- sealed things and keys ---

	TooMany = 300,
	UnknownSuite = 301,
	UnusableRecipient = 302,
	DoesNotOpen = 303,
	OriginIsNotCaller = 304,
	Expired = 305,
	ExpiresTooLate = 306,
	CodeNotAccepted = 307,
	ShareIsNotOfPolynomial = 308,
	UnknownGatekeeper = 309,
	GatekeeperLied = 310,
	DuplicateRelease = 311,
	WrongSharing = 312,
	WrongClusterSecret = 313,
	WrongKeyKind = 314,
	NotEnoughPartials = 315,
	NotByMasterKey = 316,
	MemberCount = 317,
	DuplicateMember = 318,
	WrongPrevious = 319,
	NotInCeremony = 320,
	DealerLied = 321,
	BadAcknowledgement = 322,
	DealerContradicted = 323,
	NotEnoughDealers = 324,
	MissingDealing = 325,
	NoKeyAtPath = 326,

	// --- how a run ended ---

	/// The agent threw an error that it did not catch.
	Uncaught = 400,
	/// Its instance trapped.
	Trapped = 401,
	NoAnswer = 402,
	BadResponse = 403,
	/// The host did not give what the run needs to start.
	Host = 404,
	/// All instances are in use.
	Busy = 405,

	// --- limits of a run: the names of `agents/manifest` ---

	Memory = 500,
	Stack = 501,
	CpuTime = 502,
	WallTime = 503,
	CallDepth = 504,
	OutboundCalls = 505,
	FetchedBytes = 506,
	RequestBytes = 507,
	ResponseBytes = 508,
	LogLines = 509,
	LogBytes = 510,
	StateKeyBytes = 511,
	StateValueBytes = 512,
	StateWriteKeys = 513,
	StateWriteBytes = 514,
	StateReadBytes = 515,
	HostCalls = 516,
	PendingCalls = 517,
	EntropyBytes = 518,
	/// What the agent keeps would be more than it may.
	AgentStateBytes = 519,
}

impl Refusal {
	/// As it stands in SCALE.
	pub const fn code(self) -> RefusalCode {
		RefusalCode(self as u16)
	}

	/// The one with this name.
	pub fn from_name(name: &str) -> Option<Self> {
		Self::ALL.iter().copied().find(|refusal| refusal.name() == name)
	}
}

impl core::fmt::Display for Refusal {
	fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
		f.write_str(self.name())
	}
}

/// A refusal as it travels. A number that this version does not know is carried on all the same:
/// a chain must not lose an answer because an enclave is newer.
#[derive(
	Clone,
	Copy,
	Debug,
	PartialEq,
	Eq,
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
)]
pub struct RefusalCode(pub u16);

impl RefusalCode {
	/// Which it is; `None` for one that a later version knows.
	pub fn refusal(self) -> Option<Refusal> {
		Refusal::ALL.iter().copied().find(|refusal| refusal.code() == self)
	}
}

impl core::fmt::Display for RefusalCode {
	fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
		match self.refusal() {
			Some(refusal) => refusal.fmt(f),
			None => write!(f, "refusal {} of a later version", self.0),
		}
	}
}

impl From<Refusal> for RefusalCode {
	fn from(refusal: Refusal) -> Self {
		refusal.code()
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn names_and_codes_lead_back_to_their_refusal() {
		for refusal in Refusal::ALL {
			assert_eq!(Refusal::from_name(refusal.name()), Some(*refusal));
			assert_eq!(refusal.code().refusal(), Some(*refusal));
		}
		assert_eq!(Refusal::from_name("notfresh"), None);
		assert_eq!(RefusalCode(u16::MAX).refusal(), None);
	}

	#[test]
	fn codes_rise_so_that_none_is_given_twice() {
		assert!(Refusal::ALL.windows(2).all(|pair| pair[0] < pair[1]));
	}

	#[test]
	fn an_unknown_code_is_carried_and_named_as_such() {
		assert_eq!(alloc::format!("{}", RefusalCode(9_999)), "refusal 9999 of a later version");
		assert_eq!(alloc::format!("{}", Refusal::CpuTime.code()), "CpuTime");
	}
}
