//! Accounts on this machine: a folder each in `$PHALA_HOME/accounts` (`~/.config/phala` if it is
//! not set), readable by its user alone. In it are the phrase, and what opens the answers to
//! requests that are under way.

use crate::{failure::CommandError, randomness};
use anyhow::Context;
use phala_chain_client::transactions;
use phala_protocol::text::Address;
use std::{
	fs::{self, DirBuilder, File, OpenOptions},
	io::Write,
	os::unix::fs::{DirBuilderExt, OpenOptionsExt},
	path::{Path, PathBuf},
};
use subxt_signer::{bip39::Mnemonic, sr25519::Keypair};

/// Where everything is kept.
pub const HOME_VARIABLE: &str = "PHALA_HOME";
const PHRASE: &str = "phrase";
const NAME_BYTES_MAX: usize = 64;
/// 12 words.
const ENTROPY_BYTES: usize = 16;

/// Whose account pays and signs.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct AccountOptions {
	/// An account of this machine: see `phala account list`. Without --account and --suri the
	/// variables PHALA_ACCOUNT and PHALA_SURI are looked at, in this order.
	#[arg(long, value_name = "NAME", conflicts_with = "suri")]
	pub account: Option<String>,

	/// An account's secret: a phrase, a 0x seed or, in development, //Alice. Others on this machine
	/// can see a command line: prefer the variable, or an account of this machine.
	#[arg(long, value_name = "SECRET")]
	pub suri: Option<String>,
}

/// An account that can sign.
#[derive(Clone)]
pub struct Account {
	pub keypair: Keypair,
	/// Its folder's name.
	pub name: String,
}

impl Account {
	pub fn bytes(&self) -> [u8; 32] {
		self.keypair.public_key().0
	}

	pub fn address(&self) -> Address {
		Address(self.bytes())
	}

	/// Of a secret that is in no file: its folder bears its address.
	pub fn of_secret(secret: &str) -> anyhow::Result<Self> {
		let keypair = transactions::account(secret)?;
		Ok(Self { name: Address(keypair.public_key().0).to_string(), keypair })
	}
}

impl AccountOptions {
	/// The account that was chosen.
	pub fn open(&self) -> anyhow::Result<Account> {
		self.open_or(None)
	}

	/// The same; what the variable `secret` says counts before what the general ones say.
	pub fn open_or(&self, secret: Option<&str>) -> anyhow::Result<Account> {
		let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
		match self.chosen(secret, set) {
			Some(Chosen::Name(name)) => Accounts::of_user()?.open(&name),
			Some(Chosen::Secret(secret)) => Account::of_secret(&secret),
			None => refuse!("NoAccount", "no account was chosen: make one with `phala account new <name>` and give it with --account <name>, or, on a development chain, --suri //Alice"),
		}
	}
}

/// How an account was named.
#[derive(Debug, PartialEq, Eq)]
enum Chosen {
	Name(String),
	Secret(String),
}

impl AccountOptions {
	/// What was said on the command line counts before what the environment says.
	fn chosen(&self, secret: Option<&str>, set: impl Fn(&str) -> Option<String>) -> Option<Chosen> {
		let of = |name: Option<String>, secret: Option<String>| {
			name.map(Chosen::Name).or(secret.map(Chosen::Secret))
		};
		of(self.account.clone(), self.suri.clone())
			.or_else(|| of(None, secret.and_then(&set)))
			.or_else(|| of(set("PHALA_ACCOUNT"), set("PHALA_SURI")))
	}
}

/// Where this user's accounts, and names of agents, are.
pub fn home() -> anyhow::Result<PathBuf> {
	let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
	if let Some(home) = set(HOME_VARIABLE) {
		return Ok(home.into());
	}
	if let Some(config) = set("XDG_CONFIG_HOME") {
		return Ok(Path::new(&config).join("phala"));
	}
	let home = set("HOME")
		.with_context(|| format!("there is no HOME: set {HOME_VARIABLE} to a folder"))?;
	Ok(Path::new(&home).join(".config/phala"))
}

/// All accounts in one folder.
pub struct Accounts {
	folder: PathBuf,
}

impl Accounts {
	/// Those of this user.
	pub fn of_user() -> anyhow::Result<Self> {
		Ok(Self::in_home(&home()?))
	}

	pub fn in_home(home: &Path) -> Self {
		Self { folder: home.join("accounts") }
	}

	/// Makes an account with a new phrase, and returns it with the phrase.
	pub fn create(&self, name: &str) -> anyhow::Result<(Account, String)> {
		let entropy = randomness::bytes::<ENTROPY_BYTES>()?;
		let phrase = Mnemonic::from_entropy(&entropy).context("the words cannot be made")?;
		let phrase = phrase.to_string();
		Ok((self.import(name, &phrase)?, phrase))
	}

	/// Keeps an account whose secret exists.
	pub fn import(&self, name: &str, secret: &str) -> anyhow::Result<Account> {
		check_name(name)?;
		if name.parse::<Address>().is_ok() {
			refuse!("AccountNameInvalid", "{name} is an address, which would mean another account than this one: take another name");
		}
		let keypair = transactions::account(secret)?;
		let folder = self.folder.join(name);
		let path = folder.join(PHRASE);
		if path.exists() {
			refuse!(
				"AccountExists",
				"there is an account {name:?} already ({}): take another name",
				path.display()
			);
		}
		private_folder(&folder)?;
		write_private(&path, secret.trim().as_bytes())?;
		Ok(Account { keypair, name: name.into() })
	}

	pub fn open(&self, name: &str) -> anyhow::Result<Account> {
		check_name(name)?;
		let path = self.folder.join(name).join(PHRASE);
		let secret = match fs::read_to_string(&path) {
			Ok(secret) => secret,
			Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
				let known: Vec<_> = self.list()?.into_iter().map(|(name, _)| name).collect();
				let remedy = match known.is_empty() {
					true => "make one with `phala account new <name>`".into(),
					false => format!("there are {}", known.join(", ")),
				};
				let folder = self.folder.display();
				let message = format!("there is no account {name:?} in {folder}: {remedy}");
				return Err(CommandError::new("NoSuchAccount", message).into());
			}
			Err(error) => {
				return Err(error).with_context(|| format!("cannot read {}", path.display()))
			}
		};
		let keypair = transactions::account(&secret)
			.with_context(|| format!("{} was refused", path.display()))?;
		Ok(Account { keypair, name: name.into() })
	}

	/// Names and addresses, in the names' order.
	pub fn list(&self) -> anyhow::Result<Vec<(String, Address)>> {
		let mut found = Vec::new();
		for folder in self.folders()? {
			if let (true, Some(name)) = (folder.join(PHRASE).is_file(), folder.file_name()) {
				let name = name.to_string_lossy().into_owned();
				let address = self.open(&name)?.address();
				found.push((name, address));
			}
		}
		Ok(found)
	}

	/// Writes a file that only this user may read into an account's folder.
	pub fn keep(
		&self,
		account: &str,
		kind: &str,
		name: &str,
		bytes: &[u8],
	) -> anyhow::Result<PathBuf> {
		let folder = self.folder.join(account).join(kind);
		private_folder(&folder)?;
		let path = folder.join(name);
		write_private(&path, bytes)?;
		Ok(path)
	}

	/// Removes what [`Accounts::keep`] wrote, if it is there.
	pub fn forget(&self, account: &str, kind: &str, name: &str) -> anyhow::Result<()> {
		let path = self.folder.join(account).join(kind).join(name);
		match fs::remove_file(&path) {
			Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
				Err(error).with_context(|| format!("cannot remove {}", path.display()))
			}
			_ => Ok(()),
		}
	}

	/// What [`Accounts::keep`] wrote under this name, and for which account.
	pub fn kept(&self, kind: &str, name: &str) -> anyhow::Result<Option<(String, Vec<u8>)>> {
		for folder in self.folders()? {
			let path = folder.join(kind).join(name);
			match fs::read(&path) {
				Ok(bytes) => {
					let account = folder.file_name().unwrap_or_default();
					return Ok(Some((account.to_string_lossy().into_owned(), bytes)));
				}
				Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
				Err(error) => {
					return Err(error).with_context(|| format!("cannot read {}", path.display()))
				}
			}
		}
		Ok(None)
	}

	/// All that [`Accounts::keep`] wrote of a kind: for which account, under which name, when it was
	/// written last; the newest first.
	pub fn all_kept(&self, kind: &str) -> anyhow::Result<Vec<(String, String, Vec<u8>)>> {
		let mut found = Vec::new();
		for folder in self.folders()? {
			let account = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
			let kept = folder.join(kind);
			let Ok(entries) = fs::read_dir(&kept) else { continue };
			for entry in entries {
				let entry = entry?;
				let path = entry.path();
				let read = || anyhow::Ok((entry.metadata()?.modified()?, fs::read(&path)?));
				let (written, bytes) =
					read().with_context(|| format!("cannot read {}", path.display()))?;
				let name = entry.file_name().to_string_lossy().into_owned();
				found.push((written, (account.clone(), name, bytes)));
			}
		}
		found.sort_by_key(|(written, _)| std::cmp::Reverse(*written));
		Ok(found.into_iter().map(|(_, kept)| kept).collect())
	}

	fn folders(&self) -> anyhow::Result<Vec<PathBuf>> {
		let entries = match fs::read_dir(&self.folder) {
			Ok(entries) => entries,
			Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
			Err(error) => {
				return Err(error).with_context(|| format!("cannot read {}", self.folder.display()))
			}
		};
		let mut folders = Vec::new();
		for entry in entries {
			folders.push(entry?.path());
		}
		folders.sort();
		Ok(folders)
	}
}

fn check_name(name: &str) -> anyhow::Result<()> {
	let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
	if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(is_fine) {
		refuse!("AccountNameInvalid", "{name:?} is no name for an account: 1 to {NAME_BYTES_MAX} of A-Z, a-z, 0-9, - and _ are taken");
	}
	Ok(())
}

/// A folder, and those above it, that this user alone may read.
pub fn private_folder(path: &Path) -> anyhow::Result<()> {
	let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
	made.with_context(|| format!("cannot make the folder {}", path.display()))
}

/// Writes whole or not at all, readable by this user alone from the first byte on.
pub fn write_private(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
	let failed = || format!("cannot write {}", path.display());
	let mut temporary = path.as_os_str().to_owned();
	temporary.push(".new");
	let _ = fs::remove_file(&temporary);
	let mut options = OpenOptions::new();
	let mut file: File =
		options.write(true).create_new(true).mode(0o600).open(&temporary).with_context(failed)?;
	file.write_all(bytes).and_then(|()| file.sync_all()).with_context(failed)?;
	fs::rename(&temporary, path).with_context(failed)
}

#[cfg(test)]
mod tests {
	use super::*;
	use std::os::unix::fs::PermissionsExt;

	#[test]
	fn an_account_is_made_listed_opened_and_seen_by_nobody_else() {
		let home = tempfile::tempdir().unwrap();
		let accounts = Accounts::in_home(home.path());
		let (made, phrase) = accounts.create("me").unwrap();
		assert_eq!(phrase.split(' ').count(), 12);
		assert_eq!(accounts.open("me").unwrap().address(), made.address());
		assert_eq!(accounts.list().unwrap(), [("me".to_owned(), made.address())]);
		assert_eq!(Account::of_secret(&phrase).unwrap().address(), made.address());
		let mode = |path: &str| {
			fs::metadata(home.path().join("accounts").join(path)).unwrap().permissions().mode()
		};
		assert_eq!((mode("me") & 0o777, mode("me/phrase") & 0o777), (0o700, 0o600));
		assert!(accounts.create("me").is_err_and(|error| error.to_string().contains("already")));
	}

	#[test]
	fn the_command_line_counts_before_the_environment_and_a_variable_of_its_own_before_all_others()
	{
		let all = |name: &str| Some(format!("in {name}"));
		let general = |name: &str| all(name).filter(|_| name.starts_with("PHALA_"));
		let suri = |name: &str| all(name).filter(|_| name == "PHALA_SURI");
		let own = Some("PHERRY_OPERATOR");
		let none = AccountOptions::default();
		let secret = |name: &str| Some(Chosen::Secret(format!("in {name}")));
		assert_eq!(none.chosen(own, all), secret("PHERRY_OPERATOR"));
		assert_eq!(none.chosen(own, suri), secret("PHALA_SURI"));
		assert_eq!(none.chosen(own, general), Some(Chosen::Name("in PHALA_ACCOUNT".into())));
		assert_eq!(none.chosen(None, all), Some(Chosen::Name("in PHALA_ACCOUNT".into())));
		assert_eq!(none.chosen(own, |_| None), None);
		let given = AccountOptions { account: Some("me".into()), suri: None };
		assert_eq!(given.chosen(own, all), Some(Chosen::Name("me".into())));
	}

	#[test]
	fn names_that_would_lead_elsewhere_are_refused() {
		let home = tempfile::tempdir().unwrap();
		let accounts = Accounts::in_home(home.path());
		let address = Address([1; 32]).to_string();
		for name in ["", "..", "a/b", "a b", &address, &"a".repeat(NAME_BYTES_MAX + 1)] {
			assert!(accounts.create(name).is_err(), "{name}");
			assert!(accounts.open(name).is_err(), "{name}");
		}
		let error = accounts.open("you").err().unwrap().to_string();
		assert!(error.contains("phala account new"), "{error}");
	}

	#[test]
	fn what_is_kept_is_found_whoevers_it_is() {
		let home = tempfile::tempdir().unwrap();
		let accounts = Accounts::in_home(home.path());
		assert_eq!(accounts.kept("requests", "0x12").unwrap(), None);
		let path = accounts.keep("me", "requests", "0x12", b"key").unwrap();
		assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
		let kept = accounts.kept("requests", "0x12").unwrap().unwrap();
		assert_eq!(kept, ("me".to_owned(), b"key".to_vec()));
		accounts.forget("me", "requests", "0x12").unwrap();
		accounts.forget("me", "requests", "0x12").unwrap();
		assert_eq!(accounts.kept("requests", "0x12").unwrap(), None);
	}
}
