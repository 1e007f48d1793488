//! `phala validator`: what who runs a validator does.
//!
//! * `rotate-keys`: its node makes new session keys, and its account registers them. The node keeps
//!   the old ones, which count for two sessions more. If a key may have leaked, or before the node is
//!   moved to another machine.

use crate::{
	accounts::AccountOptions,
	chain::NodeOption,
	interrupt,
	output::{self, operators::SessionKeysRotated, words::HexBytes},
	steps::chain_step,
};
use anyhow::Context;
use phala_chain_client::validators;
use std::process::ExitCode;

#[derive(Debug, clap::Subcommand)]
pub enum Command {
	/// Has the validator's node make new session keys, and registers them.
	RotateKeys {
		#[command(flatten)]
		account: AccountOptions,
		/// The validator's own node, which keeps the keys: run this on its machine.
		#[command(flatten)]
		node: NodeOption,
	},
}

pub async fn run(command: Command, json: bool) -> anyhow::Result<ExitCode> {
	match command {
		Command::RotateKeys { account, node } => {
			let account = account.open()?;
			let address = account.address();
			let chain = node.connect().await?;
			let new = validators::new_session_keys(&chain, account.bytes()).await.context(
				"the node made no session keys; it takes this order on its own machine only, on a port that serves unsafe methods",
			)?;
			let sender = interrupt::sender(&chain, account.keypair);
			let registering = sender.send(validators::set_session_keys(&new));
			let registered = chain_step("registering the session keys", registering).await?.0;
			let keys = HexBytes(new.keys.0);
			let block = registered.block.number;
			let text = format!("{address} has new session keys since block {block}: {keys}\nThey count from two sessions on; until then its node signs with the old ones.");
			let told = SessionKeysRotated { validator: address.into(), session_keys: keys, block };
			output::tell(json, &told, text)?;
		}
	}
	Ok(ExitCode::SUCCESS)
}
