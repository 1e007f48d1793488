//! `phala verify`: checks an answer that `phala call --save` wrote: from the pinned block 0 by
//! finality to the boot that signed it, its evidence, the code and what was asked and answered.
//! Offline, unless `--node` is given, which fetches what the file lacks and looks anew.

use super::call;
use crate::{calls::output_json, chain::hash, proof};
use anyhow::{bail, Context};
use codec::DecodeAll;
use phala_chain_client::Chain;
use phala_protocol::{requests::CallOutput, H256};
use phala_verifier::AnswerFile;
use serde_json::json;
use std::{fs, path::PathBuf, process::ExitCode};

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
}

pub async fn run(arguments: Arguments, json: bool) -> anyhow::Result<ExitCode> {
	let Arguments { file: path, genesis, node } = arguments;
	let shown = path.display();
	let bytes = fs::read(&path).with_context(|| format!("cannot read {shown}"))?;
	let mut file = AnswerFile::from_json(&bytes).with_context(|| format!("{shown} was refused"))?;
	let genesis = match &node {
		None => genesis,
		Some(url) => {
			let chain = Chain::connect(url).await?;
			let found = chain.genesis_hash();
			if genesis.is_none() {
				eprintln!(
					"warning: without --genesis the node's word is taken for which chain it is"
				);
			}
			proof::chain(&mut file, &chain, 0).await?;
			genesis.or(Some(found))
		}
	};
	let Some(genesis) = genesis else { bail!("say which chain you trust with --genesis") };
	let verification = phala_verifier::verify(&file, genesis);
	if json {
		let output = CallOutput::decode_all(&mut &file.output.0[..]).ok();
		println!(
			"{}",
			json!({
				"verified": verification.verified,
				"refused": verification.refused().map(|check| check.name),
				"checks": verification.checks,
				"answer": output.as_ref().map(output_json),
			})
		);
	} else {
		print!("{verification}");
	}
	call::verified(&verification)
}
