//! `phala account`: accounts of this machine, and their PHA. Secrets are in
//! `~/.config/phala/accounts` (or `$PHALA_HOME/accounts`), readable by this user alone.

use crate::{
	accounts::{AccountOptions, Accounts},
	chain::NodeOption,
	interrupt,
	names::AccountName,
	output::{self, accounts::*, words::Amount},
	steps::chain_step,
};
use anyhow::Context;
use phala_chain_client::accounts::{balance, check_funds, transfer_keep_alive, TRANSFER};
use phala_protocol::{
	text::{parse_pha, pha},
	Balance,
};
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
		/// Its name or address. The account of --account or --suri if not said.
		#[arg(value_name = "NAME")]
		of: Option<AccountName>,
		#[command(flatten)]
		account: AccountOptions,
	},
	/// Shows what an account has.
	Balance {
		/// Its name or address. The account of --account or --suri if not said.
		#[arg(value_name = "NAME")]
		of: Option<AccountName>,
		#[command(flatten)]
		account: AccountOptions,
		#[command(flatten)]
		node: NodeOption,
	},
	/// Sends PHA.
	Transfer {
		/// To whom: a name or an address.
		to: AccountName,
		/// How much, in PHA.
		#[arg(value_parser = some_pha, allow_negative_numbers = true)]
		amount: Balance,
		#[command(flatten)]
		account: AccountOptions,
		#[command(flatten)]
		node: NodeOption,
	},
}

/// An amount that is worth a transaction.
fn some_pha(text: &str) -> Result<Balance, String> {
	match parse_pha(text).map_err(|error| error.to_string())? {
		0 => Err("nothing would be sent, and the transaction's fee paid".into()),
		amount => Ok(amount),
	}
}

pub async fn run(command: Command, json: bool) -> anyhow::Result<ExitCode> {
	match command {
		Command::New { name, import } => new(name, import, json)?,
		Command::List => list(json)?,
		Command::Show { of, account } => {
			let address = match of {
				Some(name) => name.resolve()?,
				None => account.open()?.address(),
			};
			let known = Accounts::of_user()?.list()?;
			let known = known.into_iter().find(|(_, of)| *of == address);
			let told = AccountShown {
				name: known.map(|(name, _)| name),
				address: address.into(),
				public_key: address.0.into(),
			};
			output::tell(json, &told, address)?;
		}
		Command::Balance { of, account, node } => {
			let address = match of {
				Some(name) => name.resolve()?,
				None => account.open()?.address(),
			};
			let has = balance(&node.connect().await?, address.0).await?;
			let told = AccountBalance {
				address: address.into(),
				free: Amount(has.free),
				reserved: Amount(has.reserved),
			};
			let text = format!("{}, and {} on hold", pha(has.free), pha(has.reserved));
			output::tell(json, &told, text)?;
		}
		Command::Transfer { to, amount, account, node } => {
			let (to, account) = (to.resolve()?, account.open()?);
			let from = account.address();
			let chain = node.connect().await?;
			check_funds(&chain, from.0, TRANSFER, amount).await?;
			let what = format!("sending {} to {to}", pha(amount));
			let sender = interrupt::sender(&chain, account.keypair);
			interrupt::advise(
				"Look at `phala account balance` before you send it again, or it may be sent twice",
			);
			let sending = sender.send(transfer_keep_alive(to.0, amount));
			let block = chain_step(&what, sending).await?.0.block.number;
			let told =
				Transferred { from: from.into(), to: to.into(), amount: Amount(amount), block };
			let text = format!("{} from {from} to {to} in block {block}", pha(amount));
			output::tell(json, &told, text)?;
		}
	}
	Ok(ExitCode::SUCCESS)
}

fn new(name: String, import: bool, json: bool) -> anyhow::Result<()> {
	let accounts = Accounts::of_user()?;
	let (account, phrase) = if import {
		let mut secret = String::new();
		std::io::stdin().read_to_string(&mut secret).context("cannot read standard input")?;
		(accounts.import(&name, &secret)?, None)
	} else {
		let (account, phrase) = accounts.create(&name)?;
		(account, Some(phrase))
	};
	let address = account.address();
	let told = AccountMade { name, address: address.into(), phrase };
	output::tell(json, &told, address)?;
	if let Some(phrase) = told.phrase.filter(|_| !json) {
		say!("\nIts phrase, shown this once. Whoever has it has the account: write it down.\n\n  {phrase}\n");
	}
	Ok(())
}

fn list(json: bool) -> anyhow::Result<()> {
	let accounts = Accounts::of_user()?.list()?;
	let named = |(name, address)| NamedAccount { name, address };
	if json {
		let accounts = accounts.into_iter().map(|(name, address)| (name, address.into()));
		return output::print(&AccountList { accounts: accounts.map(named).collect() });
	}
	for (name, address) in &accounts {
		show!("{name:<16} {address}");
	}
	if accounts.is_empty() {
		say!("there are none yet: `phala account new <name>` makes one");
	}
	Ok(())
}

#[cfg(test)]
mod tests {
	use super::*;
	use clap::Parser;

	#[derive(Debug, clap::Parser)]
	struct Line {
		#[command(subcommand)]
		command: Command,
	}

	#[test]
	fn what_would_send_nothing_is_refused_with_what_an_amount_is() {
		let transfer = |amount| Line::try_parse_from(["account", "transfer", "me", amount]);
		assert!(transfer("0.5").is_ok());
		for (amount, why) in [("0", "nothing would be sent"), ("-5", "\"-5\""), ("-0", "\"-0\"")] {
			let refused = transfer(amount).unwrap_err().to_string();
			assert!(refused.contains(why), "{amount}: {refused}");
			assert!(!refused.contains("tip"), "{amount}: {refused}");
		}
	}
}
