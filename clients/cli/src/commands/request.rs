//! `phala request`: what became of a request, and its answer.

use super::call;
use crate::{
	accounts::Accounts,
	calls::{
		kept::{self, Found},
		on_chain::{self, Ended},
	},
	chain::{hash, ChainOptions, NodeOption},
	names::Names,
	output::{
		self,
		calls::{
			Checked, ListedRequest, OpenRequest, RequestList, RequestOnItsWay, RequestState,
			RequestStatus, SettledRequest,
		},
	},
	proof::Finality,
	steps::step,
	terminal,
};
use phala_chain_client::Chain;
use phala_protocol::{
	requests::RequestId,
	text::{pha, Address},
	H256,
};
use std::{path::PathBuf, process::ExitCode};

#[derive(Debug, clap::Subcommand)]
pub enum Command {
	/// The requests that were made on this machine on the node's chain, the newest first.
	List {
		#[command(flatten)]
		node: NodeOption,
	},
	/// What became of a request; opens its answer if it was made on this machine.
	Status {
		/// The request's id, or the hash of its transaction.
		#[arg(value_parser = hash)]
		request: H256,
		/// Waits until it has come to its end.
		#[arg(long)]
		wait: bool,
		/// Writes the answer with all that proves it, for `phala verify`.
		#[arg(long, value_name = "FILE")]
		save: Option<PathBuf>,
		/// Saves in place of a file that is there. Over the same request's answer it is not needed.
		#[arg(long, requires = "save")]
		force: bool,
		#[command(flatten)]
		chain: ChainOptions,
	},
}

pub async fn run(command: Command, json: bool) -> anyhow::Result<ExitCode> {
	let (name, wait, save, chain) = match command {
		Command::List { node } => return list(&node, json).await,
		Command::Status { request, wait, save, force, chain } => {
			(request, wait, call::Saving::prepare(save, force, Some(request))?, chain)
		}
	};
	let chain = chain.connect().await?;
	let accounts = Accounts::of_user()?;
	if !wait {
		if let Some((state, text)) = unfinished(&chain, &accounts, name).await? {
			output::tell(json, &state, text)?;
			return Ok(ExitCode::SUCCESS);
		}
	}
	let mut finality = Finality::default();
	let getting = on_chain::answer(&chain, &mut finality, &accounts, name);
	let ((request, ended), _) = step("getting the answer and checking it", getting).await?;
	let told = |checked| RequestStatus::Settled(Box::new(settled(request, &ended, checked)));
	call::shown(&ended.answered, told, Some(&ending_text(&ended)), save, json)
}

async fn list(node: &NodeOption, json: bool) -> anyhow::Result<ExitCode> {
	let genesis = node.connect().await?.genesis_hash();
	let listed = kept::list(&Accounts::of_user()?, genesis)?;
	if json {
		let requests = listed.into_iter().map(|one| {
			let (method, path) = one.asked.unzip();
			ListedRequest {
				request: one.name.into(),
				account: one.account,
				agent: one.agent.into(),
				method,
				path,
				block: one.block,
			}
		});
		output::print(&RequestList { requests: requests.collect() })?;
		return Ok(ExitCode::SUCCESS);
	}
	let names = Names::of_user()?;
	for one in &listed {
		let agent =
			names.name_of(genesis, one.agent)?.unwrap_or_else(|| format!("{:?}", one.agent));
		let (method, path) = one.asked.clone().unwrap_or_else(|| ("secrets".into(), String::new()));
		let block = one.block.map_or("on its way".into(), |block| format!("block {block}"));
		let asked = terminal::line(&format!("{method} {path}"));
		show!("{:?}  {block:<12} {agent}  {asked}", one.name);
	}
	if listed.is_empty() {
		say!("  none was made on this machine on the chain {genesis:?}");
	} else {
		say!("  phala request status <request> gets an answer");
	}
	Ok(ExitCode::SUCCESS)
}

/// Where a request stands that has no end yet, for programs and for people.
async fn unfinished(
	chain: &Chain,
	accounts: &Accounts,
	name: H256,
) -> anyhow::Result<Option<(RequestStatus, String)>> {
	// Anybody may look at a request; a transaction is known to who made it.
	let (request, on_its_way) = match kept::lookup(chain, accounts, name).await? {
		None => (name, None),
		Some(Found::Request { id, .. }) => (id, None),
		Some(Found::OnItsWay { until }) => (name, Some(until)),
	};
	if let Some(until) = on_its_way {
		let (transaction, state) = (name.into(), RequestState::Submitted);
		let state = RequestStatus::OnItsWay(RequestOnItsWay { transaction, state, until });
		let text = format!(
			"in no block yet: it can get into one until block {until}; --wait waits for its answer"
		);
		return Ok(Some((state, text)));
	}
	let state = on_chain::state(chain, request).await?;
	if !on_chain::is_open(&state) {
		return Ok(None);
	}
	let (worker, deadline) = (state.worker, state.deadline);
	let text =
		format!("open: worker {worker} must answer until block {deadline}; --wait waits for it");
	let (request, state) = (request.into(), RequestState::Open);
	let state = RequestStatus::Open(OpenRequest { request, state, worker, deadline });
	Ok(Some((state, text)))
}

/// A request's end, for programs.
pub fn settled(request: RequestId, ended: &Ended, checked: Checked) -> SettledRequest {
	SettledRequest {
		request: request.into(),
		state: RequestState::Settled,
		settled_in: ended.block,
		paid: (&ended.settlement).into(),
		base_fee: None,
		seconds: None,
		checked,
	}
}

/// Who was paid what, for people.
pub fn ending_text(ended: &Ended) -> String {
	let paid = &ended.settlement;
	let worker = paid.worker.map_or_else(|| "-".into(), |worker| Address(worker).to_string());
	format!(
		"  paid in block {}: {} for {} units\n    worker     {:<22} {worker}\n    developer  {:<22} {}\n    treasury   {}\n    refunded   {}\n",
		ended.block,
		pha(paid.fee),
		paid.units,
		pha(paid.worker_paid),
		pha(paid.developer_paid),
		Address(paid.developer),
		pha(paid.treasury_paid),
		pha(paid.refunded),
	)
}
