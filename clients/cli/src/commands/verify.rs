//! `phala verify`: checks an answer that `phala call --save` wrote: from the pinned block 0 by
//! finality to the boot that signed it, its evidence, the code, the cluster and what was asked and
//! answered. Offline, unless `--node` is given, which fetches what the file lacks and looks anew.
//!
//! Question and answer are shown if all that holds, and else nothing of them.

use super::call;
use crate::{
	chain::hash,
	failure::CommandError,
	names::{AccountName, AgentName},
	output::{
		self,
		calls::{Check, VerifiedFile},
	},
	proof::{self, Finality},
	terminal,
};
use anyhow::Context;
use codec::DecodeAll;
use phala_chain_client::Chain;
use phala_protocol::{
	caller::Caller,
	requests::{CallInput, CallOutput, SignedAnswer},
	BlockNumber, H256,
};
use phala_verifier::{AnswerFile, Expected, Verification};
use std::{fmt, fs, io::IsTerminal, path::PathBuf, process::ExitCode};

#[derive(Debug, clap::Args)]
pub struct Arguments {
	/// What `phala call --save` wrote.
	file: PathBuf,

	/// The chain that you trust: the hash of its block 0. With --node, the node's if not said.
	#[arg(long, env = "PHALA_GENESIS", value_name = "HASH", value_parser = hash, required_unless_present = "node")]
	genesis: Option<H256>,

	/// Fetches what proves the answer from this node, instead of taking it from the file.
	#[arg(long, value_name = "URL")]
	node: Option<String>,

	#[command(flatten)]
	expected: ExpectedOptions,
}

/// What is known of an answer beforehand.
#[derive(Debug, clap::Args)]
struct ExpectedOptions {
	/// Refuses an answer of another agent than the one of this name or id.
	#[arg(long, value_name = "NAME")]
	agent: Option<AgentName>,

	/// Refuses an answer to another account than the one of this name or address.
	#[arg(long, value_name = "NAME")]
	caller: Option<AccountName>,

	/// Refuses an answer given on a view that was more blocks behind the one that it is proven at: the
	/// file's, which may be old itself, or with --node the newest.
	#[arg(long, value_name = "BLOCKS")]
	max_age: Option<BlockNumber>,

	/// Refuses an answer given on a view older than this block.
	#[arg(long, value_name = "BLOCK")]
	min_block: Option<BlockNumber>,
}

impl ExpectedOptions {
	fn caller(&self) -> anyhow::Result<Option<Caller>> {
		let caller = self.caller.as_ref().map(AccountName::resolve).transpose()?;
		Ok(caller.map(|address| Caller::Account(address.0)))
	}

	/// `node` is its URL, if one is asked; `caller`, what [`Self::caller`] gave.
	async fn expected(
		&self,
		caller: Option<Caller>,
		genesis: H256,
		node: Option<&str>,
	) -> anyhow::Result<Expected> {
		let agent = match &self.agent {
			Some(agent) => Some(agent.resolve_on(genesis, node).await?),
			None => None,
		};
		Ok(Expected { agent, caller, age_max: self.max_age, block_min: self.min_block })
	}
}

pub async fn run(arguments: Arguments, json: bool) -> anyhow::Result<ExitCode> {
	let Arguments { file: path, genesis, node, expected } = arguments;
	// A name that nothing has is told before anything is read or asked for.
	let caller = expected.caller()?;
	let shown = path.display();
	let bytes = fs::read(&path).with_context(|| format!("cannot read {shown}"))?;
	let mut file = AnswerFile::from_json(&bytes).map_err(|error| unreadable(&shown, &error))?;
	let genesis = match &node {
		None => genesis,
		Some(url) => {
			let chain = Chain::connect(url).await?;
			let found = chain.genesis_hash();
			if genesis.is_none() {
				say!("warning: without --genesis the node's word is taken for which chain it is");
			}
			proof::chain(&mut file, &chain, &mut Finality::default(), 0).await?;
			genesis.or(Some(found))
		}
	};
	let Some(genesis) = genesis else {
		refuse!("Usage", "say which chain you trust with --genesis")
	};
	let expected = expected.expected(caller, genesis, node.as_deref()).await?;
	let verification = phala_verifier::verify(&file, genesis, &expected);
	let exchange = Exchange::of(&file, &verification);
	if json {
		output::print_on(&told(&verification, exchange.as_ref()))?;
	} else {
		terminal::show(verification.to_string().as_bytes())?;
		if let Some(exchange) = exchange {
			terminal::show(&exchange.text(std::io::stdout().is_terminal()))?;
		}
	}
	call::verified(&verification)
}

fn unreadable(shown: &dyn fmt::Display, error: &dyn fmt::Display) -> CommandError {
	let message = format!(
		"{shown} was refused, because it is no answer that `phala call --save` wrote, or not all of it: {error}"
	);
	CommandError::new("FileMalformed", message)
}

/// What was asked and answered. There is none of a file that was refused.
struct Exchange {
	input: CallInput,
	output: CallOutput,
	proof: SignedAnswer,
}

impl Exchange {
	fn of(file: &AnswerFile, verification: &Verification) -> Option<Self> {
		verification.verified.then_some(())?;
		Some(Self {
			input: CallInput::decode_all(&mut &file.input.0[..]).ok()?,
			output: CallOutput::decode_all(&mut &file.output.0[..]).ok()?,
			proof: SignedAnswer::decode_all(&mut &file.proof.0[..]).ok()?,
		})
	}

	/// For people.
	fn text(&self, is_terminal: bool) -> Vec<u8> {
		let line = |bytes: &[u8]| terminal::line(&String::from_utf8_lossy(bytes));
		let Self { input, output, .. } = self;
		let question = format!("question: {} {}", line(&input.method), line(&input.path));
		let answer = format!("answer: HTTP status {}", output.status);
		let mut text = Vec::new();
		for (first, headers, body) in
			[(question, &input.headers, &input.body), (answer, &output.headers, &output.body)]
		{
			text.extend(format!("\n{first}\n").into_bytes());
			for (name, value) in headers {
				text.extend(format!("{}: {}\n", line(name), line(value)).into_bytes());
			}
			if !body.is_empty() {
				text.push(b'\n');
				text.extend(&*call::body(body, is_terminal));
			}
		}
		text
	}
}

fn told(verification: &Verification, exchange: Option<&Exchange>) -> VerifiedFile {
	VerifiedFile {
		verified: verification.verified,
		refused: verification.refused().map(|check| check.name.to_owned()),
		absent: verification.absent().map(|check| check.name.to_owned()).collect(),
		checks: verification.checks.iter().map(Check::from).collect(),
		question: exchange.map(|exchange| (&exchange.input).into()),
		answer: exchange.map(|exchange| (&exchange.output).into()),
		proof: exchange.map(|exchange| (&exchange.proof).into()),
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use codec::Encode;
	use phala_protocol::{
		agents::AgentCode,
		requests::{AnswerContent, AnswerPath, ProvenAnswer},
	};
	use phala_verifier::check::Verdict;
	use serde_json::{json, Value};

	fn shown_json(verification: &Verification, exchange: Option<&Exchange>) -> Value {
		serde_json::to_value(told(verification, exchange)).unwrap()
	}

	fn file() -> AnswerFile {
		let input = CallInput {
			method: b"POST".to_vec(),
			path: b"/a".to_vec(),
			headers: vec![(b"accept".to_vec(), b"text/plain\x1b[2J".to_vec())],
			body: b"what?".to_vec(),
		};
		let output = CallOutput { status: 200, headers: vec![], body: b"that\x1b[2J".to_vec() };
		let content = AnswerContent {
			genesis: H256::zero(),
			worker: 1,
			boot: 1,
			agent: H256::zero(),
			code: AgentCode { component: H256::zero(), manifest: H256::zero() },
			caller: None,
			request_hash: H256::zero(),
			response_hash: H256::zero(),
			state_version: 1,
			block: 1,
			unproven_inputs: 0,
		};
		let proof = SignedAnswer {
			content,
			path: AnswerPath { index: 0, neighbours: [H256::zero(); 4] },
			signature: [0; 64],
		};
		AnswerFile::new(H256::zero(), &input, &ProvenAnswer { output, salt: [0; 32], proof })
	}

	fn verification(verdict: Verdict) -> Verification {
		let check = phala_verifier::check::Check { name: "answer", verdict, detail: String::new() };
		let checks = vec![check];
		Verification { verified: verdict != Verdict::Refused, checks }
	}

	#[test]
	fn a_file_that_was_cut_has_a_code_of_its_own() {
		for cut in [&b""[..], b"{\"format\":\"phala-answer/2\"", b"[]"] {
			let error = AnswerFile::from_json(cut).unwrap_err();
			let refused = unreadable(&"cut.json", &error);
			assert_eq!(refused.code, "FileMalformed");
			assert!(refused.message.starts_with("cut.json was refused"), "{}", refused.message);
		}
	}

	#[test]
	fn a_verified_file_shows_question_and_answer_and_moves_no_terminal() {
		let exchange = Exchange::of(&file(), &verification(Verdict::Ok)).unwrap();
		let text = String::from_utf8(exchange.text(true)).unwrap();
		let expected = "\nquestion: POST /a\naccept: text/plain\\u{1b}[2J\n\nwhat?\n\nanswer: HTTP status 200\n\nthat\\u{1b}[2J\n";
		assert_eq!(text, expected);
		let json = shown_json(&verification(Verdict::Ok), Some(&exchange));
		assert_eq!(json["question"]["method"], "POST");
		assert_eq!(json["answer"]["status"], 200);
	}

	/// Bends a file so that it says something else.
	struct Forger;

	impl Forger {
		fn bend(mut file: AnswerFile) -> AnswerFile {
			file.output.0 = CallOutput { body: b"forged".to_vec(), ..Default::default() }.encode();
			file
		}
	}

	#[test]
	fn nothing_of_a_refused_file_is_shown_as_question_or_answer() {
		let forged = Forger::bend(file());
		let refused = phala_verifier::verify(&forged, H256::zero(), &Expected::default());
		let exchange = Exchange::of(&forged, &refused);
		assert!(exchange.is_none());
		let json = shown_json(&refused, exchange.as_ref());
		assert_eq!(json["verified"], false);
		assert!(json["answer"].is_null() && json["question"].is_null(), "{json}");
		assert!(!json.to_string().contains("forged"), "{json}");
		let absent = shown_json(&verification(Verdict::Absent), None);
		assert_eq!(absent["absent"], json!(["answer"]));
	}
}
