//! Agents and accounts by name, wherever a command takes an id or an address.
//!
//! Agents: what `phala deploy` deployed from this machine, each by the name in its `agent.toml`, in
//! `$PHALA_HOME/agents.json`, and those of a network that is up here. A name counts on the chain on which
//! it was given, and the newest of a name is meant. An id is always taken as well.
//!
//! Accounts: those of this machine (see [`accounts`]) by their names, all by their addresses, and those
//! that everybody has the secrets of, for development, as `//Alice`.

use crate::{
	accounts::{self, Accounts},
	chain::{hash, usual_node},
	commands::network::control,
	failure::CommandError,
};
use anyhow::Context;
use phala_chain_client::{agents, transactions, Chain};
use phala_protocol::{
	agents::AgentId,
	text::{Address, TextError, SS58_PREFIX},
	BlockNumber, H256,
};
use serde::{Deserialize, Serialize};
use std::{
	convert::Infallible,
	fmt, fs,
	path::{Path, PathBuf},
	str::FromStr,
};

const FILE: &str = "agents.json";
const FORMAT: &str = "phala-agents/1";
/// Of these the newest are kept: development chains come and go.
const NAMES_MAX: usize = 256;

/// How an agent is named on a command line: by its id or its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentName(String);

impl FromStr for AgentName {
	type Err = Infallible;

	fn from_str(text: &str) -> Result<Self, Infallible> {
		Ok(Self(text.to_owned()))
	}
}

impl fmt::Display for AgentName {
	fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
		self.0.fmt(to)
	}
}

impl AgentName {
	/// Which agent is meant on this chain, whose node has this URL. It is there.
	pub async fn resolve(&self, chain: &Chain, node: &str) -> anyhow::Result<AgentId> {
		let agent = self.resolve_on(chain.genesis_hash(), Some(node)).await?;
		// The newest block: who just deployed it goes on at once.
		let (at, _) = chain.header(None).await?;
		match agents::record(chain, at, agent).await? {
			Some(_) => Ok(agent),
			None => Err(self.gone(chain.genesis_hash(), agent, at.number).into()),
		}
	}

	/// Of an agent that was known by its name here, the chain knows none any more.
	fn gone(&self, genesis: H256, agent: AgentId, block: BlockNumber) -> CommandError {
		let is_id = hash(&self.0).is_ok();
		let called = match is_id {
			true => Names::of_user().and_then(|names| names.name_of(genesis, agent)).ok().flatten(),
			false => Some(self.0.clone()),
		};
		let message = match called {
			Some(name) => format!(
				"no agent {name} is there any more, as of block {block}: {agent:?} was given up by its owner, or evicted by its cluster's. `phala deploy` of its folder deploys another, which {name} means then"
			),
			None => format!(
				"no agent has the id {agent:?} on this chain, as of block {block}: `phala deploy` prints an agent's id, `phala agent list` shows those of your account, with --all those of everybody"
			),
		};
		CommandError::new("NoSuchAgent", message)
	}

	/// The same of the chain with this block 0, whether or not a node is asked: the agents of a network that is up
	/// here are known by their names all the same.
	pub async fn resolve_on(&self, genesis: H256, node: Option<&str>) -> anyhow::Result<AgentId> {
		if let Some(id) = self.known(genesis, Names::of_user)? {
			return Ok(id);
		}
		let node = node.map_or_else(usual_node, str::to_owned);
		let up = control::agents(&node, genesis).await.unwrap_or_default();
		let found = up.get(&self.0).map(|id| id.0);
		found.ok_or_else(|| {
			let message = format!(
				"no agent of this name or id: {:?}{}; `phala agent list` shows those of your account on this chain",
				self.0,
				shortened(&self.0)
			);
			CommandError::new("NoSuchAgent", message).into()
		})
	}

	/// An id, or one that was deployed from this machine.
	fn known(
		&self,
		genesis: H256,
		names: impl FnOnce() -> anyhow::Result<Names>,
	) -> anyhow::Result<Option<AgentId>> {
		match hash(&self.0) {
			Ok(id) => Ok(Some(id)),
			Err(_) => names()?.find(genesis, &self.0),
		}
	}
}

/// Of what looks as an id, and is none.
fn shortened(text: &str) -> String {
	match hash(text) {
		Err(why) if text.starts_with("0x") => format!(" (no id: {why})"),
		_ => String::new(),
	}
}

/// How an account is named on a command line: by its name on this machine, its address, or `//Alice`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountName(String);

impl FromStr for AccountName {
	type Err = Infallible;

	fn from_str(text: &str) -> Result<Self, Infallible> {
		Ok(Self(text.trim().to_owned()))
	}
}

impl AccountName {
	/// Which account is meant by this user.
	pub fn resolve(&self) -> anyhow::Result<Address> {
		self.resolve_among(&Accounts::of_user()?)
	}

	fn resolve_among(&self, accounts: &Accounts) -> anyhow::Result<Address> {
		if self.0.starts_with("//") {
			return Ok(Address(transactions::account(&self.0)?.public_key().0));
		}
		let malformed = match self.0.parse() {
			Ok(address) => return Ok(address),
			Err(malformed) => malformed,
		};
		let known = accounts.list()?;
		match known.into_iter().find(|(name, _)| *name == self.0) {
			Some((_, address)) => Ok(address),
			None => Err(CommandError::new("NoSuchAccount", self.unknown(&malformed)).into()),
		}
	}

	fn unknown(&self, malformed: &TextError) -> String {
		// As long as an address is, it was meant to be one.
		const NAME_BYTES_USUAL: usize = 40;
		let why = match malformed {
			TextError::OtherNetwork { prefix, .. } => {
				format!(" (an address of network {prefix}, not {SS58_PREFIX})")
			}
			TextError::NotAccountBytes { .. } => " (0x and 64 hexadecimal digits are one)".into(),
			TextError::NotAddress { why, .. } if self.0.len() > NAME_BYTES_USUAL => {
				format!(" ({why})")
			}
			_ => String::new(),
		};
		// With spaces it may be a phrase.
		let quoted = match self.0.contains(char::is_whitespace) {
			true => String::new(),
			false => format!(" {:?}", self.0),
		};
		format!(
			"no account of this name or address:{quoted}{why}; a name in `phala account list` is taken, an SS58 address, or on a development chain //Name"
		)
	}
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct File {
	format: String,
	/// The newest first.
	agents: Vec<Named>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Named {
	genesis: String,
	name: String,
	agent: String,
}

/// The names of one user.
pub struct Names {
	path: PathBuf,
}

impl Names {
	pub fn of_user() -> anyhow::Result<Self> {
		Ok(Self { path: accounts::home()?.join(FILE) })
	}

	/// From now on `name` is this agent, on the chain with this block 0.
	pub fn remember(&self, genesis: H256, name: &str, agent: AgentId) -> anyhow::Result<()> {
		let named = Named {
			genesis: format!("{genesis:?}"),
			name: name.to_owned(),
			agent: format!("{agent:?}"),
		};
		let mut agents = self.read()?;
		agents.retain(|other| (&other.genesis, &other.name) != (&named.genesis, &named.name));
		agents.insert(0, named);
		agents.truncate(NAMES_MAX);
		let folder = self.path.parent().unwrap_or(Path::new("."));
		let write = || {
			fs::create_dir_all(folder)?;
			let file = tempfile::NamedTempFile::new_in(folder)?;
			let content = File { format: FORMAT.into(), agents };
			serde_json::to_writer_pretty(&file, &content)?;
			file.persist(&self.path)?;
			anyhow::Ok(())
		};
		write().with_context(|| format!("cannot write {}", self.path.display()))
	}

	/// The agent of this name on a chain.
	pub fn find(&self, genesis: H256, name: &str) -> anyhow::Result<Option<AgentId>> {
		let genesis = format!("{genesis:?}");
		let agents = self.read()?;
		let found = agents.iter().find(|named| named.genesis == genesis && named.name == name);
		found.map(|named| hash(&named.agent).map_err(|_| self.broken())).transpose()
	}

	/// The name of an agent, if it has one.
	pub fn name_of(&self, genesis: H256, agent: AgentId) -> anyhow::Result<Option<String>> {
		let (genesis, agent) = (format!("{genesis:?}"), format!("{agent:?}"));
		let agents = self.read()?;
		let found = agents.iter().find(|named| named.genesis == genesis && named.agent == agent);
		Ok(found.map(|named| named.name.clone()))
	}

	/// How people know an agent: by its name on this machine, or by its id.
	pub fn called(genesis: H256, agent: AgentId) -> String {
		let named = Self::of_user().and_then(|names| names.name_of(genesis, agent));
		named.ok().flatten().unwrap_or_else(|| format!("{agent:?}"))
	}

	fn read(&self) -> anyhow::Result<Vec<Named>> {
		let bytes = match fs::read(&self.path) {
			Ok(bytes) => bytes,
			Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
			Err(error) => {
				return Err(error).with_context(|| format!("cannot read {}", self.path.display()))
			}
		};
		let file: File = serde_json::from_slice(&bytes).map_err(|_| self.broken())?;
		if file.format == FORMAT {
			Ok(file.agents)
		} else {
			Err(self.broken())
		}
	}

	fn broken(&self) -> anyhow::Error {
		anyhow::anyhow!(
			"{} is broken, or of another release: move it away; agents are then named by their ids",
			self.path.display()
		)
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	const HERE: H256 = H256([1; 32]);
	const ELSEWHERE: H256 = H256([2; 32]);

	fn names() -> (tempfile::TempDir, Names) {
		let folder = tempfile::tempdir().unwrap();
		let path = folder.path().join("new").join(FILE);
		(folder, Names { path })
	}

	#[test]
	fn a_name_means_the_newest_agent_of_its_chain() {
		let (_folder, names) = names();
		assert_eq!(names.find(HERE, "mine").unwrap(), None);
		let (old, new, other) = (H256([3; 32]), H256([4; 32]), H256([5; 32]));
		names.remember(HERE, "mine", old).unwrap();
		names.remember(ELSEWHERE, "mine", other).unwrap();
		names.remember(HERE, "mine", new).unwrap();
		assert_eq!(names.find(HERE, "mine").unwrap(), Some(new));
		assert_eq!(names.find(ELSEWHERE, "mine").unwrap(), Some(other));
		assert_eq!(names.find(HERE, "yours").unwrap(), None);
		assert_eq!(names.name_of(HERE, new).unwrap().as_deref(), Some("mine"));
		assert_eq!(names.name_of(HERE, old).unwrap(), None, "another one has its name");
	}

	#[test]
	fn an_agent_is_meant_by_its_id_or_the_name_that_it_has_on_the_chain() {
		let id = H256([4; 32]);
		let known = |text: &str, genesis: H256| {
			let (_folder, names) = names();
			names.remember(HERE, "mine", id).unwrap();
			text.parse::<AgentName>().unwrap().known(genesis, || Ok(names)).unwrap()
		};
		assert_eq!(known("mine", HERE), Some(id));
		assert_eq!(known("mine", ELSEWHERE), None);
		assert_eq!(known(&format!("{id:?}"), ELSEWHERE), Some(id));
	}

	#[test]
	fn an_agent_that_is_no_more_is_told_from_one_that_never_was() {
		let id = H256([4; 32]);
		let gone = |text: &str| text.parse::<AgentName>().unwrap().gone(HERE, id, 7);
		let refused = gone("riddle");
		assert_eq!(refused.code, "NoSuchAgent");
		for part in ["no agent riddle is there any more", "0x0404", "given up", "phala deploy"] {
			assert!(refused.message.contains(part), "{}", refused.message);
		}
		let refused = gone(&format!("{:?}", H256([5; 32])));
		assert!(refused.message.contains("no agent has the id"), "{refused}");
		assert!(shortened("0x754b674c…").contains("it is shortened"));
		assert_eq!(shortened("riddle"), "");
	}

	#[test]
	fn an_account_is_meant_by_its_name_its_address_or_the_uri_of_a_development_account() {
		let home = tempfile::tempdir().unwrap();
		let accounts = Accounts::in_home(home.path());
		let (me, _) = accounts.create("me").unwrap();
		let resolve = |text: &str| text.parse::<AccountName>().unwrap().resolve_among(&accounts);
		let hex = format!("0x{}", hex::encode(me.bytes()));
		for text in ["me", &me.address().to_string(), &hex, " me\n"] {
			assert_eq!(resolve(text).unwrap(), me.address(), "{text}");
		}
		let alice = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";
		assert_eq!(resolve("//Alice").unwrap(), resolve(alice).unwrap());
		assert_eq!(resolve("//Alice").unwrap(), alice.parse().unwrap());
	}

	#[test]
	fn what_names_no_account_is_refused_with_what_would_be_taken() {
		let home = tempfile::tempdir().unwrap();
		let accounts = Accounts::in_home(home.path());
		let refused = |text: &str| {
			let named: AccountName = text.parse().unwrap();
			named.resolve_among(&accounts).unwrap_err().to_string()
		};
		for remedy in ["\"you\"", "phala account list", "SS58", "//Name"] {
			assert!(refused("you").contains(remedy), "{}", refused("you"));
		}
		let address = Address([7; 32]).to_string();
		let mistyped = address.replacen(['b', 'c', 'd', 'e', 'f'], "g", 1);
		assert!(refused(&mistyped).contains("checksum"), "{}", refused(&mistyped));
		let polkadot = "15oF4uVJwmo4TdGW7VfQxNLavjCXviqxT9S1MgbjMNHr6Sp5";
		assert!(refused(polkadot).contains("network 0, not 30"), "{}", refused(polkadot));
		let phrase = "fashion double hour coin";
		assert!(
			!refused(phrase).contains("fashion"),
			"a secret is not quoted: {}",
			refused(phrase)
		);
	}

	#[test]
	fn the_oldest_names_go() {
		let (_folder, names) = names();
		for index in 0..=NAMES_MAX {
			names.remember(HERE, &format!("agent-{index}"), H256([6; 32])).unwrap();
		}
		assert_eq!(names.find(HERE, "agent-0").unwrap(), None);
		assert!(names.find(HERE, "agent-1").unwrap().is_some());
	}

	#[test]
	fn a_broken_file_is_named_and_not_written_over() {
		let (folder, names) = names();
		fs::create_dir(folder.path().join("new")).unwrap();
		fs::write(&names.path, "{").unwrap();
		for error in
			[names.find(HERE, "mine").unwrap_err(), names.remember(HERE, "mine", HERE).unwrap_err()]
		{
			assert!(error.to_string().contains("agents.json is broken"), "{error:#}");
		}
		assert_eq!(fs::read(&names.path).unwrap(), b"{");
	}
}
