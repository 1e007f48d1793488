//! `phala request`: what became of a request, and its answer.

use super::call;
use crate::{
	accounts::Accounts,
	calls::{
		ending::paid_text,
		kept::{self, Found},
		on_chain::{self, Ended, SecretEnded},
	},
	chain::{hash, ChainOptions, NodeOption},
	names::Names,
	output::{
		self,
		calls::{
			Checked, ListedRequest, OpenRequest, RequestList, RequestOnItsWay, RequestOutcome,
			RequestState, RequestStatus, SecretTaken, SettledRequest,
		},
		words::Amount,
	},
	proof::Finality,
	steps::step,
	terminal,
};
use phala_chain_client::{requests, Chain};
use phala_protocol::{
	requests::{self as chain, Request, RequestId},
	text::{pha, Address},
	Balance, BlockNumber, H256,
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
	if let Some(ended) = on_chain::secret(&chain, &accounts, name).await? {
		let SecretEnded { request, block, settled, base_fee } = ended;
		if save.is_some() {
			say!("  nothing is saved: who gives a secret gets no answer");
		}
		let text = format!(
			"the agent took it in block {block}; it cost {}",
			paid_text(settled.fee, base_fee)
		);
		let told = SecretTaken {
			request: request.into(),
			state: RequestState::Taken,
			block,
			fee: Amount(settled.fee),
			base_fee: base_fee.map(Amount),
		};
		output::tell(json, &RequestStatus::Secret(told), text)?;
		return Ok(ExitCode::SUCCESS);
	}
	let mut finality = Finality::default();
	let getting = on_chain::answer(&chain, &mut finality, &accounts, name);
	let ((request, ended), _) = step("getting the answer and checking it", getting).await?;
	let told = |checked| RequestStatus::Settled(Box::new(settled(request, &ended, checked)));
	call::shown(&ended.answered, told, Some(&ending_text(&ended)), save, json)
}

async fn list(node: &NodeOption, json: bool) -> anyhow::Result<ExitCode> {
	let chain = node.connect().await?;
	let genesis = chain.genesis_hash();
	let listed = kept::list(&Accounts::of_user()?, genesis)?;
	let ids: Vec<_> = listed.iter().map(|one| one.name).collect();
	// The newest block: one that was submitted a moment ago is not final yet.
	let stored = requests::all_stored(&chain, chain.header(None).await?.0, &ids).await?;
	let listed: Vec<_> = listed.into_iter().zip(stored).collect();
	if json {
		let requests = listed.into_iter().map(|(one, stored)| {
			let (outcome, fee) = outcome(one.block, stored.as_ref());
			let base_fee = one.base_fee.map(Amount);
			let (method, path) = one.asked.unzip();
			ListedRequest {
				request: one.name.into(),
				account: one.account,
				agent: one.agent.into(),
				method,
				path,
				block: one.block,
				outcome,
				fee: fee.map(Amount),
				base_fee,
			}
		});
		output::print(&RequestList { requests: requests.collect() })?;
		return Ok(ExitCode::SUCCESS);
	}
	let names = Names::of_user()?;
	for (one, stored) in &listed {
		let agent =
			names.name_of(genesis, one.agent)?.unwrap_or_else(|| format!("{:?}", one.agent));
		let (method, path) = one.asked.clone().unwrap_or_else(|| ("secrets".into(), String::new()));
		let block = one.block.map_or("-".into(), |block| format!("block {block}"));
		let became = outcome_text(one.block, stored.as_ref(), one.base_fee);
		let asked = terminal::line(&format!("{method} {path}"));
		show!("{:?}  {block:<12} {became:<48} {agent}  {asked}", one.name);
	}
	if listed.is_empty() {
		say!("  none was made on this machine on the chain {genesis:?}");
	} else {
		say!("  phala request status <request> gets an answer");
	}
	Ok(ExitCode::SUCCESS)
}

/// What became of a request that was made here, and what it cost beside the base fee.
fn outcome(
	block: Option<BlockNumber>,
	stored: Option<&Request>,
) -> (RequestOutcome, Option<Balance>) {
	match (block, stored.map(|stored| &stored.state)) {
		(None, _) => (RequestOutcome::OnItsWay, None),
		(_, None) => (RequestOutcome::Forgotten, None),
		(_, Some(chain::RequestState::Open)) => (RequestOutcome::Open, None),
		(_, Some(chain::RequestState::Settled { fee, failed: false, .. })) => {
			(RequestOutcome::Answered, Some(*fee))
		}
		(_, Some(chain::RequestState::Settled { fee, .. })) => (RequestOutcome::Failed, Some(*fee)),
		(_, Some(chain::RequestState::Expired)) => (RequestOutcome::Refunded, None),
	}
}

fn outcome_text(
	block: Option<BlockNumber>,
	stored: Option<&Request>,
	base_fee: Option<Balance>,
) -> String {
	let (outcome, fee) = outcome(block, stored);
	let base = base_fee.map_or_else(String::new, |base| format!(" and {} base fee", pha(base)));
	let paid = fee.map_or_else(String::new, |fee| format!(", {}{base} paid", pha(fee)));
	let but = base_fee.map_or_else(String::new, |base| format!(" but {} base fee", pha(base)));
	match (outcome, stored) {
		(RequestOutcome::OnItsWay, _) => "on its way".into(),
		(RequestOutcome::Open, Some(stored)) => format!("open until block {}", stored.deadline),
		(RequestOutcome::Open, None) => "open".into(),
		(RequestOutcome::Answered, _) => format!("answered{paid}"),
		(RequestOutcome::Failed, _) => format!("failed{paid}"),
		(RequestOutcome::Refunded, _) => format!("not answered, refunded{but}"),
		(RequestOutcome::Forgotten, _) => "ended long ago".into(),
	}
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
		paid: (&ended.settled).into(),
		base_fee: ended.base_fee.map(Amount),
		seconds: None,
		checked,
	}
}

/// Who was paid what, for people.
pub fn ending_text(ended: &Ended) -> String {
	let Ended { block, settled, base_fee, .. } = ended;
	let mut text =
		format!("  paid in block {block}: {} for {} units\n", pha(settled.fee), settled.units);
	if let Some(shares) = &settled.shares {
		let worker = shares.worker.map_or_else(|| "-".into(), |worker| Address(worker).to_string());
		text += &format!(
			"    worker     {:<22} {worker}\n    developer  {:<22} {}\n    treasury   {}\n",
			pha(shares.worker_paid),
			pha(shares.developer_paid),
			Address(shares.developer),
			pha(shares.treasury_paid),
		);
	} else {
		text += "    to whom    the node has the events of that block no more\n";
	}
	text += &format!("    refunded   {}\n", pha(settled.refunded));
	if let Some(base) = base_fee {
		text += &format!("    base fee   {:<22} paid before, when it was submitted\n", pha(*base));
	}
	text
}

#[cfg(test)]
mod tests {
	use super::*;
	use phala_protocol::requests::RequestKind;

	#[test]
	fn the_list_says_what_became_of_each_request() {
		let of = |state| Request {
			agent: H256([1; 32]),
			caller: [2; 32],
			worker: 1,
			boot: 1,
			kind: RequestKind::Call,
			held: 0,
			unit_price: 1,
			units_max: 5,
			deadline: 90,
			state,
		};
		let settled =
			|failed| of(chain::RequestState::Settled { fee: 1_000_000_000, failed, block: 80 });
		for (block, stored, expected) in [
			(None, None, "on its way"),
			(Some(70), Some(of(chain::RequestState::Open)), "open until block 90"),
			(Some(70), Some(settled(false)), "answered, 0.001 PHA paid"),
			(Some(70), Some(settled(true)), "failed, 0.001 PHA paid"),
			(Some(70), Some(of(chain::RequestState::Expired)), "not answered, refunded"),
			(Some(70), None, "ended long ago"),
		] {
			assert_eq!(outcome_text(block, stored.as_ref(), None), expected);
		}
		let base_fee = Some(10_000_000_000);
		let told = outcome_text(Some(70), Some(&settled(false)), base_fee);
		assert_eq!(told, "answered, 0.001 PHA and 0.01 PHA base fee paid");
		let told = outcome_text(Some(70), Some(&of(chain::RequestState::Expired)), base_fee);
		assert_eq!(told, "not answered, refunded but 0.01 PHA base fee");
	}
}
