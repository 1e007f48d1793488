//! What is kept of a request, so that it outlives this process: what opens its answer, and where to
//! find it. It is written **before** the request is submitted, under its transaction's hash; once
//! the request has an id, under that, and the transaction's file points there.

use crate::{accounts::Accounts, failure::CommandError};
use anyhow::{bail, Context};
use codec::DecodeAll;
use phala_chain_client::{
	requests,
	transactions::{Fate, SignedAt},
	Chain, HeaderId,
};
use phala_protocol::{
	agents::AgentId,
	requests::{CallInput, RequestId},
	AccountBytes, Balance, BlockNumber, H256,
};
use phala_verifier::file::{HexBytes, ReplyEvidence};
use serde::{Deserialize, Serialize};

/// The folder of kept requests, in an account's.
const FOLDER: &str = "requests";

/// See the module. The secret opens the answer, and the input may be private.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Kept {
	pub genesis: HexBytes,
	pub agent: HexBytes,
	pub caller: HexBytes,
	/// SCALE of the `CallInput`; empty of one that gives secrets.
	pub input: HexBytes,
	/// `None` for a public one.
	pub reply: Option<ReplyEvidence>,
	/// While the request has no id yet.
	#[serde(default, skip_serializing_if = "Option::is_none")]
	transaction: Option<Transaction>,
	/// In which the request is, once it has an id.
	#[serde(default, skip_serializing_if = "Option::is_none")]
	block: Option<BlockNumber>,
	/// What was paid for submitting it, in 10⁻¹² PHA as a text.
	#[serde(default, skip_serializing_if = "Option::is_none")]
	base_fee: Option<String>,
}

/// What a file has in it.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum File {
	Kept(Box<Kept>),
	/// Under a transaction's hash: the request that came of it.
	Pointer(Pointer),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pointer {
	request: HexBytes,
}

/// A [`SignedAt`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Transaction {
	hash: HexBytes,
	since_block: BlockNumber,
	since_hash: HexBytes,
}

impl From<SignedAt> for Transaction {
	fn from(at: SignedAt) -> Self {
		Self {
			hash: HexBytes(at.transaction.0.into()),
			since_block: at.since.number,
			since_hash: HexBytes(at.since.hash.0.into()),
		}
	}
}

impl Transaction {
	fn signed_at(&self) -> Option<SignedAt> {
		let Self { hash, since_block, since_hash } = self;
		let since = HeaderId { number: *since_block, hash: H256(since_hash.exactly()?) };
		Some(SignedAt { transaction: H256(hash.exactly()?), since })
	}
}

/// Where a kept request is.
// One at a time, and taken apart at once: a box would only cost.
#[allow(clippy::large_enum_variant)]
pub enum Found {
	/// On the chain.
	Request { id: RequestId, block: BlockNumber, kept: Kept },
	/// Submitted, and in no block yet.
	OnItsWay { until: BlockNumber },
}

pub const BROKEN: &str = "what was kept of the request is broken";

impl Kept {
	pub fn new(
		genesis: H256,
		agent: AgentId,
		caller: AccountBytes,
		input: Vec<u8>,
		reply: Option<ReplyEvidence>,
	) -> Self {
		Self {
			genesis: HexBytes(genesis.0.into()),
			agent: HexBytes(agent.0.into()),
			caller: HexBytes(caller.into()),
			input: HexBytes(input),
			reply,
			transaction: None,
			block: None,
			base_fee: None,
		}
	}

	/// Of a request that gives an agent secrets: none of them is kept, and there is no answer to open.
	pub fn of_secrets(genesis: H256, agent: AgentId, caller: AccountBytes) -> Self {
		Self::new(genesis, agent, caller, Vec::new(), None)
	}

	/// Whether it is such a one: any call has an input.
	pub fn is_of_secrets(&self) -> bool {
		self.input.0.is_empty()
	}

	/// What was paid for submitting it, if that was written down.
	pub fn base_fee(&self) -> Option<Balance> {
		self.base_fee.as_ref()?.parse().ok()
	}
}

/// Requests that are kept for one account.
pub struct Keeper<'a> {
	accounts: &'a Accounts,
	/// Name of the account's folder.
	account: &'a str,
	kept: Kept,
	/// Under which the request was kept last.
	transaction: Option<H256>,
}

impl<'a> Keeper<'a> {
	pub fn new(accounts: &'a Accounts, account: &'a str, kept: Kept) -> Self {
		Self { accounts, account, kept, transaction: None }
	}

	/// Keeps it for a transaction that is about to be submitted, in place of one that was kept
	/// before and can take no effect any more.
	/// If this fails it must not be submitted: its reply key would be lost.
	pub fn before_submission(&mut self, at: SignedAt) -> anyhow::Result<()> {
		let kept = Kept { transaction: Some(at.into()), ..self.kept.clone() };
		self.write(at.transaction, &File::Kept(Box::new(kept)))
			.context("the request was not submitted: what opens its answer could not be kept")?;
		if let Some(earlier) = self.transaction.replace(at.transaction) {
			self.forget(earlier)?;
		}
		Ok(())
	}

	/// It is on the chain.
	/// If that cannot be written it stays under its transaction.
	pub fn submitted(
		self,
		id: RequestId,
		block: BlockNumber,
		base_fee: Balance,
	) -> anyhow::Result<Kept> {
		let base_fee = Some(base_fee.to_string());
		let kept = Kept { transaction: None, block: Some(block), base_fee, ..self.kept.clone() };
		self.write(id, &File::Kept(Box::new(kept.clone())))?;
		if let Some(transaction) = self.transaction {
			// Who was told to go on with the transaction still can.
			let pointer = Pointer { request: HexBytes(id.0.to_vec()) };
			self.write(transaction, &File::Pointer(pointer))?;
		}
		Ok(kept)
	}

	/// The node did not take it: there will be no answer.
	pub fn refused(self) -> anyhow::Result<()> {
		self.transaction.map_or(Ok(()), |transaction| self.forget(transaction))
	}

	fn write(&self, name: H256, kept: &File) -> anyhow::Result<()> {
		let json = serde_json::to_vec_pretty(kept)?;
		self.accounts.keep(self.account, FOLDER, &file(name), &json).map(drop)
	}

	fn forget(&self, name: H256) -> anyhow::Result<()> {
		self.accounts.forget(self.account, FOLDER, &file(name))
	}
}

fn file(name: H256) -> String {
	format!("{name:?}.json")
}

/// Finds a request of this user's by its id, or by the hash of its transaction.
pub async fn find(chain: &Chain, accounts: &Accounts, name: H256) -> anyhow::Result<Found> {
	match lookup(chain, accounts, name).await? {
		Some(found) => Ok(found),
		None => Err(unknown(name).into()),
	}
}

fn unknown(name: H256) -> CommandError {
	let message = format!("request {name:?} was not made on this machine, or not by this user: only who has its reply key can open the answer; `phala request list` shows those that were");
	CommandError::new("NoSuchRequest", message)
}

/// The same; `None` when none is kept under that name.
/// One whose transaction had no effect, and never will, is refused.
pub async fn lookup(
	chain: &Chain,
	accounts: &Accounts,
	name: H256,
) -> anyhow::Result<Option<Found>> {
	let Some((account, name, kept)) = read(accounts, name)? else { return Ok(None) };
	if kept.genesis.0 != chain.genesis_hash().0 {
		refuse!(
			"OtherChain",
			"request {name:?} was made on the chain 0x{}, the node is on {:?}: give another --node",
			hex::encode(&kept.genesis.0),
			chain.genesis_hash()
		);
	}
	let Some(transaction) = &kept.transaction else {
		return Ok(Some(Found::Request { id: name, block: kept.block.context(BROKEN)?, kept }));
	};
	let at = transaction.signed_at().context(BROKEN)?;
	match at.fate(chain).await? {
		Fate::Included(included) => {
			let ((id, base_fee), block) = (requests::submitted(&included)?, included.block);
			let mut keeper = Keeper::new(accounts, &account, kept);
			keeper.transaction = Some(name);
			let kept = keeper.submitted(id, block.number, base_fee)?;
			Ok(Some(Found::Request { id, block: block.number, kept }))
		}
		Fate::Open { until } => Ok(Some(Found::OnItsWay { until })),
		Fate::Lost => refuse!("TransactionLost", "transaction {name:?} got into no block until {}, and none takes it any more: nothing was paid; ask again",
			at.until()),
	}
}

/// A request that is kept on this machine.
pub struct Listed {
	/// Its id, or the hash of its transaction while it has none.
	pub name: H256,
	/// Name of the account's folder.
	pub account: String,
	pub agent: AgentId,
	/// Method and path of a call; none for secrets.
	pub asked: Option<(String, String)>,
	/// In which it is, once it has an id.
	pub block: Option<BlockNumber>,
	/// What was paid for submitting it.
	pub base_fee: Option<Balance>,
}

/// All that are kept of one chain, the newest first. What is broken is passed over: it is named when it is
/// asked for.
pub fn list(accounts: &Accounts, genesis: H256) -> anyhow::Result<Vec<Listed>> {
	let mut listed = Vec::new();
	for (account, file, json) in accounts.all_kept(FOLDER)? {
		let name = file.strip_suffix(".json").and_then(|name| crate::chain::hash(name).ok());
		let (Some(name), Ok(File::Kept(kept))) = (name, serde_json::from_slice(&json)) else {
			continue;
		};
		let Some(agent) = kept.agent.exactly().map(H256) else { continue };
		if kept.genesis.0 != genesis.0 {
			continue;
		}
		let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
		let input = CallInput::decode_all(&mut &kept.input.0[..]).ok();
		let asked = input.map(|input| (text(input.method), text(input.path)));
		let (block, base_fee) = (kept.block, kept.base_fee());
		listed.push(Listed { name, account, agent, asked, block, base_fee });
	}
	Ok(listed)
}

/// What is kept under a name, or under the one that it points to: for which account, that name.
fn read(accounts: &Accounts, mut name: H256) -> anyhow::Result<Option<(String, H256, Kept)>> {
	// Who is pointed to points nowhere.
	const HOPS_MAX: usize = 2;
	for _ in 0..HOPS_MAX {
		let Some((account, json)) = accounts.kept(FOLDER, &file(name))? else { return Ok(None) };
		match serde_json::from_slice(&json).context(BROKEN)? {
			File::Kept(kept) => return Ok(Some((account, name, *kept))),
			File::Pointer(Pointer { request }) => name = H256(request.exactly().context(BROKEN)?),
		}
	}
	bail!(BROKEN)
}

#[cfg(test)]
mod tests {
	use super::*;

	fn kept() -> Kept {
		let reply = ReplyEvidence { nonce: HexBytes(vec![1; 32]), secret: HexBytes(vec![2; 32]) };
		Kept::new(H256([3; 32]), H256([4; 32]), [5; 32], b"input".to_vec(), Some(reply))
	}

	fn at(transaction: u8) -> SignedAt {
		let since = HeaderId { number: 7, hash: H256([8; 32]) };
		SignedAt { transaction: H256([transaction; 32]), since }
	}

	fn found(accounts: &Accounts, name: H256) -> Option<(H256, Kept)> {
		let (account, name, kept) = read(accounts, name).expect("it can be read")?;
		assert_eq!(account, "me");
		Some((name, kept))
	}

	#[test]
	fn a_request_is_kept_before_it_is_submitted_and_found_by_its_transaction_ever_after() {
		let home = tempfile::tempdir().unwrap();
		let accounts = Accounts::in_home(home.path());
		let mut keeper = Keeper::new(&accounts, "me", kept());
		let (first, second, id) = (H256([10; 32]), H256([11; 32]), H256([12; 32]));

		// Cut here: what opens the answer, and where the request is, are there.
		keeper.before_submission(at(10)).unwrap();
		let (_, cut) = found(&accounts, first).expect("kept before it is submitted");
		assert_eq!(cut.reply, kept().reply);
		assert_eq!(cut.transaction.unwrap().signed_at(), Some(at(10)));

		// Signed anew, since another process took its number.
		keeper.before_submission(at(11)).unwrap();
		assert_eq!(found(&accounts, first), None);
		assert!(found(&accounts, second).is_some());

		let listed = list(&accounts, H256([3; 32])).unwrap();
		assert_eq!(
			listed.iter().map(|one| (one.name, one.block)).collect::<Vec<_>>(),
			[(second, None)]
		);
		assert!(list(&accounts, H256([9; 32])).unwrap().is_empty(), "of another chain");

		keeper.submitted(id, 20, 7_000).unwrap();
		let listed = list(&accounts, H256([3; 32])).unwrap();
		assert_eq!(
			listed.iter().map(|one| (one.name, one.block)).collect::<Vec<_>>(),
			[(id, Some(20))]
		);
		assert_eq!((listed[0].agent, listed[0].account.as_str()), (H256([4; 32]), "me"));
		assert_eq!(listed[0].base_fee, Some(7_000));
		let paid = Some("7000".into());
		let expected = Some((id, Kept { block: Some(20), base_fee: paid, ..kept() }));
		assert_eq!(found(&accounts, id), expected);
		assert_eq!(found(&accounts, second), expected, "who was told to go on with it still can");
	}

	#[test]
	fn what_gave_a_secret_is_found_again_and_nothing_of_it_is_kept() {
		let home = tempfile::tempdir().unwrap();
		let accounts = Accounts::in_home(home.path());
		let of = || Kept::of_secrets(H256([3; 32]), H256([4; 32]), [5; 32]);
		let mut keeper = Keeper::new(&accounts, "me", of());
		keeper.before_submission(at(10)).unwrap();
		let (_, cut) = found(&accounts, H256([10; 32])).expect("kept before it is submitted");
		assert!(cut.is_of_secrets() && cut.reply.is_none());
		keeper.submitted(H256([12; 32]), 20, 7_000).unwrap();
		let listed = list(&accounts, H256([3; 32])).unwrap();
		assert_eq!((listed[0].block, &listed[0].asked), (Some(20), &None));
		assert!(!kept().is_of_secrets());
	}

	#[test]
	fn a_request_that_nobody_knows_has_a_code_of_its_own() {
		for unknown in
			[unknown(H256([1; 32])).into(), super::super::on_chain::unknown(H256([1; 32]), 7)]
		{
			let told = crate::failure::body(&unknown);
			assert_eq!(told.code, "NoSuchRequest");
			assert!(told.message.contains("phala request list"), "{}", told.message);
		}
	}

	#[test]
	fn nothing_stays_of_a_request_that_the_node_did_not_take() {
		let home = tempfile::tempdir().unwrap();
		let accounts = Accounts::in_home(home.path());
		let mut keeper = Keeper::new(&accounts, "me", kept());
		keeper.before_submission(at(10)).unwrap();
		keeper.refused().unwrap();
		assert_eq!(found(&accounts, H256([10; 32])), None);
	}

	#[test]
	fn what_cannot_be_kept_is_refused_before_it_is_submitted() {
		let home = tempfile::tempdir().unwrap();
		std::fs::write(home.path().join("accounts"), "a file where the folder should be").unwrap();
		let accounts = Accounts::in_home(home.path());
		let mut keeper = Keeper::new(&accounts, "me", kept());
		let error = keeper.before_submission(at(10)).unwrap_err();
		assert!(error.to_string().contains("was not submitted"), "{error:#}");
	}
}
