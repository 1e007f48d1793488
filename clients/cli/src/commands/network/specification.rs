//! `phala network new`: the beginnings of a network with value. Writes into a new folder:
//!
//! ```text
//! chain.json          the chain's specification: every node, of whomever, is started with it
//! genesis.json        what it says of accounts, validators and periods, to be read by people
//! validators/1/ …     the secrets of each validator: see `validator_keys`
//! ```
//!
//! The runtime in it is the production one, without software evidence, as `phala-node --chain staging`
//! has it; the node beside this program gives it. The genesis is what `genesis` makes of that.

use super::{
	genesis::{self, Allotments},
	validator_keys::{self, Validator},
};
use crate::{
	accounts::private_folder,
	output::{
		self,
		operators::{NetworkMade, ValidatorMade},
		words::{Amount, HexBytes},
	},
	steps::step,
};
use anyhow::{ensure, Context};
use phala_devnet::{limits::SPECIFICATION_MAX, process::Supervisor};
use phala_protocol::{
	domains,
	limits::{VALIDATORS_MAX, VALIDATORS_MIN},
	text::{parse_pha, pha, Address},
	Balance,
};
use serde_json::{json, Value};
use std::{
	fs,
	net::IpAddr,
	ops::RangeInclusive,
	path::{Path, PathBuf},
	process::ExitCode,
};

/// Where nodes listen for peers if nothing is said.
const PEER_PORT: u16 = 30_333;

/// With how many the runtime takes a genesis. What the node's own genesis says counts besides.
const VALIDATORS: RangeInclusive<i64> = VALIDATORS_MIN as i64..=VALIDATORS_MAX as i64;

#[derive(Debug, clap::Args)]
pub struct Arguments {
	/// The folder that is made.
	folder: PathBuf,

	/// What the network is called.
	#[arg(long, default_value = "Phala")]
	name: String,

	/// The chain's id, by which nodes keep its database. Made of the name if not said.
	#[arg(long, value_parser = id)]
	id: Option<String>,

	/// How many validators it starts with: 4 at least, so that one may fail, and 300 at most.
	#[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(VALIDATORS))]
	validators: u16,

	/// Where a validator is reached by its peers, port 30333 if none is said: for the first one, then
	/// the second, and so on. These are the chain's boot nodes.
	#[arg(long, value_name = "HOST[:PORT]")]
	at: Vec<Host>,

	/// What each validator bonds, in PHA: 10,000 at least. It gets 100 PHA for fees besides.
	#[arg(long, value_name = "PHA", default_value = "1000000", value_parser = parse_pha)]
	bond: Balance,

	/// Who has PHA at genesis; may be repeated. The treasury has what is left of 1,000,000,000.
	#[arg(long, value_name = "ADDRESS=PHA", value_parser = allocation)]
	allocate: Vec<(Address, Balance)>,

	/// The phala-node whose runtime it gets. The one beside this program if not said.
	#[arg(long, value_name = "FILE")]
	phala_node: Option<PathBuf>,
}

/// A host and port that peers reach.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Host {
	host: String,
	port: u16,
}

impl std::str::FromStr for Host {
	type Err = String;

	fn from_str(text: &str) -> Result<Self, String> {
		let taken = "a name or an address is taken, with a port if it is not 30333: node.example.org, 203.0.113.7:30334, [2001:db8::7]:30333";
		let refused = || format!("{text:?} is no host: {taken}");
		let (host, port) = match text.rsplit_once(':') {
			// An IPv6 address has colons of its own.
			Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
				(host, port.parse().map_err(|_| refused())?)
			}
			_ => (text, PEER_PORT),
		};
		let host = host.trim_start_matches('[').trim_end_matches(']');
		let is_name = !host.is_empty()
			&& host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte));
		if port == 0 || !(is_name || host.parse::<IpAddr>().is_ok()) {
			return Err(refused());
		}
		Ok(Self { host: host.into(), port })
	}
}

impl Host {
	/// As the specification names a boot node.
	fn boot_node(&self, peer: &str) -> String {
		let Self { host, port } = self;
		let kind = match host.parse() {
			Ok(IpAddr::V4(_)) => "ip4",
			Ok(IpAddr::V6(_)) => "ip6",
			Err(_) => "dns",
		};
		format!("/{kind}/{host}/tcp/{port}/p2p/{peer}")
	}
}

fn allocation(text: &str) -> Result<(Address, Balance), String> {
	let (to, amount) =
		text.split_once('=').ok_or_else(|| format!("{text:?} is no allocation: ADDRESS=PHA is"))?;
	Ok((
		to.parse().map_err(|error: phala_protocol::text::TextError| error.to_string())?,
		parse_pha(amount).map_err(|error| error.to_string())?,
	))
}

fn id(text: &str) -> Result<String, String> {
	let is_fine = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
	if text.is_empty() || !text.bytes().all(is_fine) {
		return Err(format!("{text:?} is no id of a chain: a-z, 0-9 and _ are taken"));
	}
	Ok(text.into())
}

/// `Phala Staging` → `phala_staging`
fn id_of(name: &str) -> Result<String, String> {
	let separated =
		name.to_lowercase().replace(|letter: char| !letter.is_ascii_alphanumeric(), "_");
	id(separated.trim_matches('_'))
}

pub async fn run(arguments: Arguments, json: bool) -> anyhow::Result<ExitCode> {
	let Arguments { folder, name, validators, at, .. } = &arguments;
	let id = match &arguments.id {
		Some(id) => id.clone(),
		None => id_of(name).map_err(anyhow::Error::msg).context("give it an --id")?,
	};
	if at.len() > usize::from(*validators) {
		refuse!(
			"Usage",
			"--at is said {} times and there are {validators} validators: at most one each is taken",
			at.len()
		);
	}
	let is_empty = fs::read_dir(folder).map_or(true, |mut entries| entries.next().is_none());
	if !is_empty {
		refuse!("FolderNotEmpty", "{} is not empty: a network gets a new folder", folder.display());
	}
	let node = node(arguments.phala_node.as_deref())?;
	private_folder(folder)?;
	match make(&arguments, &id, &node).await {
		Ok(made) => {
			output::tell(json, &made.told(&arguments), made.text(&arguments))?;
			Ok(ExitCode::SUCCESS)
		}
		Err(error) => {
			// Keys of no network.
			let _ = fs::remove_dir_all(folder);
			Err(error)
		}
	}
}

/// What was made.
struct Made {
	chain: PathBuf,
	validators: Vec<Validator>,
	treasury: Balance,
}

async fn make(arguments: &Arguments, id: &str, node: &Path) -> anyhow::Result<Made> {
	let Arguments { folder, name, validators, at, bond, allocate, .. } = arguments;
	let asked = ["export-chain-spec", "--chain=staging"];
	let asking = run_node(node, &asked);
	let specification = step("asking phala-node for the production runtime", asking).await?.0;
	let mut specification: Value =
		serde_json::from_slice(&specification).context("phala-node gave no specification")?;
	let code = specification.pointer("/genesis/runtimeGenesis/code").and_then(Value::as_str);
	let code = hex::decode(code.context("phala-node gave no runtime")?.trim_start_matches("0x"))?;
	knows_no_software_evidence(&code)?;
	let mut made = Vec::new();
	for number in 1..=*validators {
		made.push(validator_keys::make(&folder.join("validators").join(number.to_string()))?);
	}
	let inner = specification.pointer_mut("/genesis/runtimeGenesis/patch");
	let inner = inner.context("phala-node's specification has no genesis to change")?;
	let people = Allotments { validators: &made, bond: *bond, others: allocate };
	let (genesis, treasury) = genesis::with_people(inner.take(), &people)?;
	fs::write(folder.join("genesis.json"), serde_json::to_vec_pretty(&genesis)?)?;
	*inner = genesis;
	let boot_nodes: Vec<_> =
		at.iter().zip(&made).map(|(at, validator)| at.boot_node(&validator.peer)).collect();
	let fields = [
		("name", json!(name)),
		("id", json!(id)),
		("protocolId", json!(id)),
		("bootNodes", json!(boot_nodes)),
	];
	for (field, value) in fields {
		specification[field] = value;
	}

	// The state is built once, here: nodes of later releases start from the very same.
	let plain = tempfile::Builder::new().suffix(".json").tempfile_in(folder)?;
	fs::write(plain.path(), serde_json::to_vec(&specification)?)?;
	let chain = folder.join("chain.json");
	let from = format!("--chain={}", plain.path().display());
	let to = format!("--output={}", chain.display());
	let asked = ["export-chain-spec", "--raw", &from, &to];
	step("building the genesis state", run_node(node, &asked)).await?;
	Ok(Made { chain, validators: made, treasury })
}

/// Refuses a runtime that names the domain of software evidence. One that is compressed, as releases
/// have it, is not looked into: what a node was built with, its own tests say.
fn knows_no_software_evidence(code: &[u8]) -> anyhow::Result<()> {
	let domain = domains::SOFTWARE_REPORT.as_bytes();
	let names_it = code.windows(domain.len()).any(|found| found == domain);
	ensure!(!names_it, "the runtime that phala-node has for staging takes software evidence, which proves nothing: a network with value needs a node whose runtime has no verifier of it");
	Ok(())
}

impl Made {
	fn told(&self, arguments: &Arguments) -> NetworkMade {
		let of = |(index, validator): (usize, &Validator)| ValidatorMade {
			folder: arguments.folder.join("validators").join((index + 1).to_string()),
			stash: validator.stash.into(),
			session_keys: HexBytes(validator.session_keys.bytes()),
			peer: validator.peer.clone(),
			boot_node: arguments.at.get(index).map(|at| at.boot_node(&validator.peer)),
		};
		NetworkMade {
			chain: self.chain.clone(),
			validators: self.validators.iter().enumerate().map(of).collect(),
			treasury: Amount(self.treasury),
		}
	}

	fn text(&self, arguments: &Arguments) -> String {
		let Self { chain, validators, treasury } = self;
		let mut text =
			format!("{} is the chain's specification: give it to everybody\n", chain.display());
		for (index, validator) in validators.iter().enumerate() {
			let Validator { stash, peer, .. } = validator;
			text.push_str(&format!("validator {}  {stash}  peer {peer}\n", index + 1));
		}
		text.push_str(&format!(
			"the treasury has {}\n{} has the validators' secrets: bring each folder to its machine and delete it here (docs/running-a-validator.md)",
			pha(*treasury),
			arguments.folder.join("validators").display(),
		));
		if arguments.at.is_empty() {
			text.push_str("\nno validator has an address yet: nodes need --bootnodes, or make it anew with --at");
		}
		text
	}
}

fn node(named: Option<&Path>) -> anyhow::Result<PathBuf> {
	let path = match named {
		Some(path) => path.to_owned(),
		None => {
			let own = std::env::current_exe().context("cannot find out where `phala` itself is")?;
			own.with_file_name("phala-node")
		}
	};
	if !path.is_file() {
		refuse!("FileFailed", "{} is not there: name it with --phala-node", path.display());
	}
	Ok(path)
}

/// What the node writes to stdout. As every node that this program starts it knows nothing of the caller's
/// environment but where programs are, and does not run for ever.
async fn run_node(node: &Path, arguments: &[&str]) -> anyhow::Result<Vec<u8>> {
	let scratch = tempfile::tempdir().context("cannot make a folder for phala-node")?;
	let supervisor = Supervisor::new(Path::new("."), scratch.path())?;
	// Here: paths may be relative.
	let run = supervisor.run(node, arguments, &[], Path::new("."), SPECIFICATION_MAX);
	let output = run.await?;
	let said = String::from_utf8_lossy(&output.stderr);
	ensure!(output.status.success(), "phala-node {} failed: {}", arguments.join(" "), said.trim());
	Ok(output.stdout)
}

#[cfg(test)]
mod tests {
	use super::*;
	use clap::{CommandFactory, Parser};

	#[test]
	fn a_boot_node_is_named_by_address_or_name_and_port() {
		for (text, expected) in [
			("203.0.113.7", "/ip4/203.0.113.7/tcp/30333/p2p/12D3"),
			("203.0.113.7:30334", "/ip4/203.0.113.7/tcp/30334/p2p/12D3"),
			("one.example.org:1", "/dns/one.example.org/tcp/1/p2p/12D3"),
			("2001:db8::7", "/ip6/2001:db8::7/tcp/30333/p2p/12D3"),
			("[2001:db8::7]:5", "/ip6/2001:db8::7/tcp/5/p2p/12D3"),
		] {
			assert_eq!(text.parse::<Host>().unwrap().boot_node("12D3"), expected, "{text}");
		}
		for text in ["", ":1", "host:0", "host:65536", "host:", "a b", "ho/st"] {
			let refused = text.parse::<Host>().unwrap_err();
			assert!(refused.contains("203.0.113.7:30334"), "{refused}");
		}
	}

	#[test]
	fn as_many_validators_as_the_runtime_takes_can_be_asked_for_and_no_more_or_fewer() {
		let asked = |validators: u32| {
			let validators = format!("--validators={validators}");
			crate::Arguments::try_parse_from(["phala", "network", "new", "net", &validators])
				.map(drop)
				.map_err(|refused| refused.to_string())
		};
		assert_eq!(asked(VALIDATORS_MIN), Ok(()));
		assert_eq!(asked(VALIDATORS_MAX), Ok(()));
		for validators in [VALIDATORS_MIN - 1, VALIDATORS_MAX + 1] {
			let refused = asked(validators).unwrap_err();
			let range = format!("{VALIDATORS_MIN}..={VALIDATORS_MAX}");
			assert!(refused.contains(&range), "{refused}");
		}
		let command = crate::Arguments::command();
		let new = command.find_subcommand("network").unwrap().find_subcommand("new").unwrap();
		let mut arguments = new.get_arguments();
		let told = arguments.find(|argument| argument.get_long() == Some("validators")).unwrap();
		let help = told.get_help().unwrap().to_string();
		assert!(help.contains(&format!("{VALIDATORS_MIN} at least")), "{help}");
		assert!(help.contains(&format!("{VALIDATORS_MAX} at most")), "{help}");
	}

	#[test]
	fn a_name_gives_an_id_and_an_id_has_no_other_letters() {
		assert_eq!(id_of("Phala"), Ok("phala".into()));
		assert_eq!(id_of("Our  Network (2)"), Ok("our__network__2".into()));
		assert!(id_of("…").is_err());
		assert!(id("../x").is_err());
	}

	#[tokio::test]
	async fn the_node_knows_nothing_of_the_callers_environment() {
		assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some(), "cargo tells its tests");
		let told = run_node(Path::new("/usr/bin/env"), &["-0"]).await.unwrap();
		let told = String::from_utf8(told).unwrap();
		let names = told.split_terminator('\0').filter_map(|line| line.split_once('='));
		let mut names: Vec<_> = names.map(|(name, _)| name).collect();
		names.sort();
		assert_eq!(names, ["HOME", "NO_COLOR", "PATH", "TMPDIR"]);
	}

	#[tokio::test]
	async fn a_node_that_fails_is_told_with_what_it_wrote_last() {
		let refused = run_node(Path::new("/bin/sh"), &["-c", "echo no such chain >&2; exit 3"]);
		let refused = refused.await.unwrap_err().to_string();
		assert!(refused.contains("failed: no such chain"), "{refused}");
	}

	#[test]
	fn a_runtime_that_takes_software_evidence_is_refused() {
		let domain = domains::SOFTWARE_REPORT.as_bytes();
		let development = [b"\0asm", domain, b"more"].concat();
		let refused = knows_no_software_evidence(&development).unwrap_err().to_string();
		assert!(refused.contains("software evidence"), "{refused}");
		assert!(knows_no_software_evidence(&development[..development.len() - 5]).is_ok());
	}

	#[test]
	fn an_allocation_is_an_address_and_an_amount() {
		let address = Address([7; 32]);
		assert_eq!(allocation(&format!("{address}=1.5")), Ok((address, 1_500_000_000_000)));
		for text in ["", "1.5", "=1", &format!("{address}="), &format!("{address}=x")] {
			assert!(allocation(text).is_err(), "{text}");
		}
	}
}
