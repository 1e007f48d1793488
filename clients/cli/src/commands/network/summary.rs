//! What a development network showed, for programs: one line of JSON.

use crate::output::{
	calls::{Check, Paid, Proof},
	words::{Amount, Hash},
	ErrorBody,
};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

/// All that was found out, as far as it came.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
	/// Whether everything succeeded.
	pub ok: bool,
	/// Why not.
	pub error: Option<ErrorBody>,
	/// From the start until everything was shown.
	pub seconds: Option<f64>,
	/// From the start until the first agent could be asked.
	pub ready_seconds: Option<f64>,
	pub chain: Option<ChainSummary>,
	/// Of pruntime.
	pub measurement: Option<Hash>,
	/// Whether prices come from local stand-ins.
	pub prices_are_stand_ins: Option<bool>,
	/// Whether a local stand-in plays the language model.
	pub chat_is_stand_in: Option<bool>,
	pub gatekeeper: Option<EnclaveSummary>,
	pub workers: Vec<EnclaveSummary>,
	pub cluster: Option<u32>,
	pub agents: Vec<AgentSummary>,
	/// A question to price-oracle over a worker's public server.
	pub direct: CallSummary,
	/// A paid request to price-oracle through the chain.
	pub on_chain: CallSummary,
	/// A question to chat over a worker's public server.
	pub chat: CallSummary,
}

#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ChainSummary {
	/// Its JSON-RPC over websocket.
	pub url: String,
	pub genesis: Hash,
}

#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct EnclaveSummary {
	pub name: String,
	pub worker: u32,
	/// The boot that is registered.
	pub boot: Option<u32>,
	/// Base URL of its public server.
	pub public: String,
	/// Base URL of its relay server.
	pub relay: String,
	/// URL of the relayer's status.
	pub relayer: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct AgentSummary {
	pub name: String,
	pub id: Hash,
	/// Hash of its component.
	pub code: Hash,
}

/// A question and its answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CallSummary {
	/// What the agent answered, JSON if it was.
	pub answer: Value,
	/// The HTTP status that the agent answered with.
	pub status: Option<u16>,
	/// Whether every check of its proof held.
	pub verified: bool,
	/// The checks, each with what was found.
	pub checks: Vec<Check>,
	/// What was signed.
	pub proof: Option<Proof>,
	/// Of a request through the chain: who was paid what.
	pub paid: Option<Paid>,
	/// Of a request through the chain: paid besides, and not refunded.
	pub base_fee: Option<Amount>,
	/// Of a request through the chain: its id.
	pub request: Option<Hash>,
	/// Of a request through the chain: blocks from the question to the settlement.
	pub blocks: Option<u32>,
	/// Which worker answered.
	pub url: Option<String>,
	/// From the question to the checked answer.
	pub seconds: Option<f64>,
}

impl Summary {
	/// Whether all that was to be shown was shown.
	pub fn shows_everything(&self) -> bool {
		self.direct.verified && self.on_chain.verified && self.on_chain.paid.is_some()
	}
}

#[cfg(test)]
pub mod tests {
	use super::*;
	use crate::output::calls::{Share, TreasuryShare};

	pub fn paid() -> Paid {
		let nothing = || Some(Share { account: None, amount: Amount(0) });
		Paid {
			units: 1,
			fee: Amount(1),
			worker: nothing(),
			developer: nothing(),
			treasury: Some(TreasuryShare { amount: Amount(1) }),
			refunded: Amount(0),
		}
	}

	#[test]
	fn the_shape_is_what_programs_were_told_even_when_nothing_came_of_it() {
		let error = ErrorBody { code: "Failed".into(), message: "why".into() };
		let failed = Summary { error: Some(error), ..Default::default() };
		let json = serde_json::to_value(&failed).unwrap();
		assert_eq!((&json["ok"], &json["error"]["message"]), (&false.into(), &"why".into()));
		for call in ["direct", "onChain", "chat"] {
			assert_eq!(json[call]["verified"], false);
			assert!(json[call]["answer"].is_null() && json[call]["paid"].is_null());
		}
		assert_eq!(json["workers"], Value::Array(vec![]));
		assert!(!failed.shows_everything());
	}

	#[test]
	fn everything_is_shown_when_both_answers_are_verified_and_the_one_on_chain_was_paid() {
		let verified = CallSummary { verified: true, answer: "a\nb".into(), ..Default::default() };
		let paid = CallSummary { paid: Some(paid()), ..verified.clone() };
		let shown = Summary { direct: verified.clone(), on_chain: paid, ..Default::default() };
		assert!(shown.shows_everything());
		assert!(!serde_json::to_string(&shown).unwrap().contains('\n'));
		assert!(!Summary { on_chain: verified, ..shown.clone() }.shows_everything());
		assert!(!Summary { direct: CallSummary::default(), ..shown }.shows_everything());
	}
}
