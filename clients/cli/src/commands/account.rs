//! `phala account`: accounts of this machine, and their PHA. Secrets are in
//! `~/.config/phala/accounts` (or `$PHALA_HOME/accounts`), readable by this user alone.

use crate::{
	accounts::{AccountOptions, Accounts},
	chain::NodeOption,
	steps::chain_step,
};
use anyhow::Context;
use phala_chain_client::{
	accounts::{balance, transfer_keep_alive},
	Sender,
};
use phala_protocol::{
	text::{parse_pha, pha, Address},
	Balance,
};
use serde_json::json;
use std::{io::Read, process::ExitCode};

#[derive(Debug, clap::Subcommand)]
pub enum Command {
	/// Makes an account, and shows its phrase once.
	New {
		/// What it is called on this machine.
		name: String,
		/// Reads the secret of an account that exists from standard input instead.
		#[arg(long)]
		import: bool,
	},
	/// Lists the accounts of this machine.
	List,
	/// Shows the address of an account.
	Show {
		/// Its name. The account of --account or --suri if not said.
		name: Option<String>,
		#[command(flatten)]
		account: AccountOptions,
	},
	/// Shows what an account has.
	Balance {
		/// Its address. The account of --account or --suri if not said.
		address: Option<Address>,
		#[command(flatten)]
		account: AccountOptions,
		#[command(flatten)]
		node: NodeOption,
	},
	/// Sends PHA.
	Transfer {
		/// To whom.
		to: Address,
		/// How much, in PHA.
		#[arg(value_parser = parse_pha)]
		amount: Balance,
		#[command(flatten)]
		account: AccountOptions,
		#[command(flatten)]
		node: NodeOption,
	},
}

pub async fn run(command: Command, json: bool) -> anyhow::Result<ExitCode> {
	match command {
		Command::New { name, import } => new(&name, import, json)?,
		Command::List => list(json)?,
		Command::Show { name, account } => {
			let account = match name {
				Some(name) => Accounts::of_user()?.open(&name)?,
				None => account.open()?,
			};
			let address = account.address();
			if json {
				let key = format!("0x{}", hex::encode(account.bytes()));
				println!(
					"{}",
					json!({ "name": account.name, "address": address.to_string(), "publicKey": key })
				);
			} else {
				println!("{address}");
			}
		}
		Command::Balance { address, account, node } => {
			let address = match address {
				Some(address) => address,
				None => account.open()?.address(),
			};
			let balance = balance(&node.connect().await?, address.0).await?;
			if json {
				println!(
					"{}",
					json!({
						"address": address.to_string(),
						"free": balance.free.to_string(),
						"reserved": balance.reserved.to_string(),
					})
				);
			} else {
				println!("{}, and {} on hold", pha(balance.free), pha(balance.reserved));
			}
		}
		Command::Transfer { to, amount, account, node } => {
			let account = account.open()?;
			let chain = node.connect().await?;
			let what = format!("sending {} to {to}", pha(amount));
			let sender = Sender::new(&chain, account.keypair.clone());
			let sending = sender.send(transfer_keep_alive(to.0, amount));
			let block = chain_step(&what, sending).await?.0.block.number;
			if json {
				println!(
					"{}",
					json!({ "from": account.address().to_string(), "to": to.to_string(), "amount": amount.to_string(), "block": block })
				);
			} else {
				println!("{} from {} to {to} in block {block}", pha(amount), account.address());
			}
		}
	}
	Ok(ExitCode::SUCCESS)
}

fn new(name: &str, import: bool, json: bool) -> anyhow::Result<()> {
	let accounts = Accounts::of_user()?;
	let (account, phrase) = if import {
		let mut secret = String::new();
		std::io::stdin().read_to_string(&mut secret).context("cannot read standard input")?;
		(accounts.import(name, &secret)?, None)
	} else {
		let (account, phrase) = accounts.create(name)?;
		(account, Some(phrase))
	};
	let address = account.address().to_string();
	if json {
		println!("{}", json!({ "name": name, "address": address, "phrase": phrase }));
		return Ok(());
	}
	println!("{address}");
	if let Some(phrase) = phrase {
		eprintln!("\nIts phrase, shown this once. Whoever has it has the account: write it down.\n\n  {phrase}\n");
	}
	Ok(())
}

fn list(json: bool) -> anyhow::Result<()> {
	let accounts = Accounts::of_user()?.list()?;
	if json {
		let accounts: Vec<_> = accounts
			.iter()
			.map(|(name, address)| json!({ "name": name, "address": address.to_string() }))
			.collect();
		println!("{}", json!({ "accounts": accounts }));
		return Ok(());
	}
	for (name, address) in &accounts {
		println!("{name:<16} {address}");
	}
	if accounts.is_empty() {
		eprintln!("there are none yet: `phala account new <name>` makes one");
	}
	Ok(())
}
