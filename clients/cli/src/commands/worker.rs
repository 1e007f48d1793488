//! `phala worker`: what it takes until a worker can register.
//!
//! * `register`: a place for a worker; the account that is chosen, its operator's, holds its stake.
//! * `allow-measurement`: on a development chain, by its sudo account, lets a build of pruntime in.

use crate::{
	accounts::AccountOptions,
	chain::{self, NodeOption},
	output::{
		self,
		operators::{MeasurementAllowed, WorkerRegistered},
	},
};
use anyhow::{bail, Context};
use phala_chain_client::{accounts::check_funds, registry, transactions, Sender};
use phala_protocol::H256;
use std::{path::Path, path::PathBuf, process::ExitCode};

/// The operator's secret, as `pherry` reads it.
const OPERATOR_VARIABLE: &str = "PHERRY_OPERATOR";

#[derive(Debug, clap::Subcommand)]
pub enum Command {
	/// Creates a worker and prints its number.
	Register {
		/// The operator's secret, as with --suri. The variable PHERRY_OPERATOR counts before PHALA_ACCOUNT
		/// and PHALA_SURI.
		#[arg(long, value_name = "SECRET", conflicts_with_all = ["account", "suri"])]
		operator: Option<String>,
		#[command(flatten)]
		account: AccountOptions,
		#[command(flatten)]
		node: NodeOption,
	},
	/// On a development chain: lets a build of pruntime register.
	AllowMeasurement {
		#[command(flatten)]
		node: NodeOption,
		/// The secret of the chain's sudo account.
		#[arg(long, default_value = "//Alice")]
		sudo: String,
		/// The measurement: 32 bytes in hexadecimal.
		#[arg(long, value_parser = chain::hash, required_unless_present = "pruntime")]
		measurement: Option<H256>,
		/// The pruntime to measure.
		#[arg(long, conflicts_with = "measurement")]
		pruntime: Option<PathBuf>,
	},
}

pub async fn run(command: Command, json: bool) -> anyhow::Result<ExitCode> {
	match command {
		Command::Register { operator, account, node } => {
			let operator = match operator {
				Some(secret) => AccountOptions { account: None, suri: Some(secret) }.open()?,
				None => account.open_or(Some(OPERATOR_VARIABLE))?,
			};
			let address = operator.address();
			let chain = node.connect().await?;
			let stake = chain.amount("Registry", "WorkerStake").await?;
			check_funds(&chain, address.0, "a worker's stake", stake).await?;
			let sender = Sender::new(&chain, operator.keypair);
			let worker = registry::register_worker(&sender).await?;
			let told = WorkerRegistered { worker, operator: address.into() };
			output::tell(json, &told, format!("worker {worker} of operator {address}"))?;
		}
		Command::AllowMeasurement { node, sudo, measurement, pruntime } => {
			let measurement = match (measurement, pruntime) {
				(Some(measurement), _) => measurement,
				(None, Some(pruntime)) => measure(&pruntime).await?,
				(None, None) => bail!("give --measurement or --pruntime"),
			};
			let sudo = transactions::account(&sudo)?;
			let sudo = Sender::new(&node.connect().await?, sudo);
			let block = registry::allow_measurement(&sudo, measurement).await?;
			let text = format!("{measurement:?} is allowed from block {block} on");
			let told = MeasurementAllowed { measurement: measurement.into(), block };
			output::tell(json, &told, text)?;
		}
	}
	Ok(ExitCode::SUCCESS)
}

/// What a pruntime measures of itself.
///
/// # Errors
/// When it does not run, or has no software evidence.
pub async fn measure(pruntime: &Path) -> anyhow::Result<H256> {
	let shown = pruntime.display();
	let output = tokio::process::Command::new(pruntime)
		.arg("--print-measurement")
		.stdin(std::process::Stdio::null())
		.kill_on_drop(true)
		.output()
		.await
		.with_context(|| format!("cannot run {shown}"))?;
	if !output.status.success() {
		let said = String::from_utf8_lossy(&output.stderr);
		bail!(
			"{shown} gave no measurement ({}): {}; a development build has --print-measurement",
			output.status,
			said.trim()
		);
	}
	chain::hash(String::from_utf8_lossy(&output.stdout).trim())
		.map_err(anyhow::Error::msg)
		.with_context(|| format!("{shown} printed no measurement"))
}
