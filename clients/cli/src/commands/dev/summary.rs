//! What a development network showed, for programs: one line of JSON.

use serde::Serialize;
use serde_json::Value;

/// All that was found out, as far as it came.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Summary {
	/// Whether everything succeeded.
	pub ok: bool,
	/// Why not.
	pub error: Option<String>,
	pub chain: Option<ChainSummary>,
	/// `0x` and the hexadecimal measurement of pruntime.
	pub measurement: Option<String>,
	/// Whether prices come from local stand-ins.
	pub prices_are_stand_ins: Option<bool>,
	pub workers: Vec<WorkerSummary>,
	pub probe: ProbeSummary,
	pub direct: DirectSummary,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ChainSummary {
	/// Its JSON-RPC over websocket.
	pub url: String,
	pub genesis: String,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WorkerSummary {
	pub name: String,
	pub slot: u32,
	/// The boot that is registered.
	pub boot: Option<u32>,
	pub public: String,
	pub relay: String,
	/// The relayer's status.
	pub relayer: String,
	/// What kind of evidence it registered with, in its own words.
	pub evidence: Value,
	pub identity: Value,
	/// Until it served, from its start.
	pub seconds: f64,
}

/// A message to worker 1 by way of the chain, and its answer on the chain.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ProbeSummary {
	pub answered: bool,
	pub boot: Option<u32>,
	/// From the block with the question to the one with the answer.
	pub blocks: Option<u32>,
	pub seconds: Option<f64>,
}

/// A request to price-oracle on worker 1's public door.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct DirectSummary {
	/// What it answered, JSON if it was.
	pub answer: Value,
	pub url: Option<String>,
	pub seconds: Option<f64>,
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn the_shape_is_what_programs_were_told_even_when_nothing_came_of_it() {
		let failed = Summary { error: Some("why".into()), ..Default::default() };
		let json = serde_json::to_value(failed).unwrap();
		assert_eq!(json["ok"], false);
		assert_eq!(json["probe"]["answered"], false);
		assert!(json["direct"]["answer"].is_null());
		assert_eq!(json["workers"], Value::Array(vec![]));
	}

	#[test]
	fn it_is_one_line_with_probe_direct_and_workers() {
		let summary = Summary {
			ok: true,
			probe: ProbeSummary {
				answered: true,
				boot: Some(1),
				blocks: Some(4),
				seconds: Some(8.1),
			},
			direct: DirectSummary { answer: "a\nb".into(), seconds: Some(0.1), url: None },
			workers: vec![WorkerSummary {
				name: "worker-1".into(),
				slot: 0,
				boot: Some(1),
				public: "http://127.0.0.1:1".into(),
				relay: "http://127.0.0.1:2".into(),
				relayer: "http://127.0.0.1:3/v1/status".into(),
				evidence: "Software".into(),
				identity: Value::Null,
				seconds: 9.0,
			}],
			..Default::default()
		};
		let line = serde_json::to_string(&summary).unwrap();
		assert!(!line.contains('\n'));
		assert!(
			line.contains(r#""probe":{"answered":true,"boot":1,"blocks":4,"seconds":8.1}"#),
			"{line}"
		);
		assert!(line.contains(r#""workers":[{"name":"worker-1","slot":0,"boot":1,"#), "{line}");
	}
}
