//! `phala logs`: what an agent logged, for its owner alone: the question is signed, the answer
//! sealed. Each worker has the log of what it ran, with the times of its host's clock.

use crate::{
	accounts::{Account, AccountOptions},
	chain::NodeOption,
	commands::status::{self, in_time},
	conversation::Conversation,
	deployment, limits,
	names::AgentName,
	output::{
		self,
		agents::{Log, LogLine, Logged},
	},
	terminal,
	worker_client::{LogPage, WorkerClient},
};
use anyhow::Context;
use chrono::{DateTime, Datelike, SecondsFormat};
use codec::{DecodeAll, Encode};
use phala_chain_client::{agents, clusters};
use phala_protocol::{
	agents::AgentId,
	boot::WorkerId,
	requests::{LogEntry, LogsContent, LogsQuery},
	BlockNumber, H256,
};
use std::{collections::BTreeMap, process::ExitCode};

#[derive(Debug, clap::Args)]
pub struct Arguments {
	/// The agent's name or id.
	agent: AgentName,
	/// Goes on with what is logged from then on, until Ctrl-C. With --json a line for each entry.
	#[arg(short, long)]
	follow: bool,
	#[command(flatten)]
	account: AccountOptions,
	#[command(flatten)]
	node: NodeOption,
}

pub async fn run(arguments: Arguments, json: bool) -> anyhow::Result<ExitCode> {
	let account = arguments.account.open()?;
	let chain = arguments.node.connect().await?;
	let agent = arguments.agent.resolve(&chain, &arguments.node.node).await?;
	let (at, record) = agents::known(&chain, agent).await?;
	if record.owner != account.bytes() {
		refuse!(
			"NotOwner",
			"{} does not own agent {}: its log is shown to its owner {} alone",
			account.address(),
			arguments.agent,
			phala_protocol::text::Address(record.owner)
		);
	}
	deployment::check_keys(&chain, record.cluster).await?;
	let genesis = chain.genesis_hash();
	let mut lines = Vec::new();
	let members = clusters::members(&chain, record.cluster).await?;
	let count = members.len();
	let (mut failed, mut warnings) = (Vec::new(), Vec::new());
	let mut followed = Followed::default();
	// All at once, and none is waited for that does not even say who it is.
	let asking = members.iter().map(|member| async {
		in_time(status::info(&member.endpoint)).await?;
		of_worker(genesis, &account, agent, at.number, &member.endpoint).await
	});
	for (member, log) in members.iter().zip(futures::future::join_all(asking).await) {
		match log {
			Ok(log) => {
				followed.next.insert(member.worker, log.next);
				lines.extend(log.entries.into_iter().map(|entry| (member.worker, entry)));
				let cut = |why| format!("worker {}: older lines are missing: {why}", member.worker);
				warnings.extend(log.cut.map(cut));
			}
			Err(error) => failed.push(format!("worker {}: {error:#}", member.worker)),
		}
	}
	if failed.len() == count {
		refuse!("Unanswered", "no worker showed the agent's log:\n  {}", failed.join("\n  "));
	}
	let warned = !failed.is_empty();
	for warning in failed.into_iter().chain(warnings) {
		say!("warning: {}", terminal::line(&warning));
	}
	// Clocks of several workers differ; what one ran in a block is in its order.
	lines.sort_by_key(|(_, entry)| (entry.block, entry.time_ms));
	if json && !arguments.follow {
		let entries = lines.iter().map(|(worker, entry)| log_line(*worker, entry)).collect();
		output::print(&Logged::All(Log { entries }))?;
		return Ok(ExitCode::SUCCESS);
	}
	let print = |worker: WorkerId, entry: &LogEntry| {
		output::tell(json, &Logged::Line(log_line(worker, entry)), shown(worker, entry))
	};
	for (worker, entry) in &lines {
		print(*worker, entry)?;
	}
	if lines.is_empty() {
		let of = if warned { "on the workers that answered " } else { "" };
		say!("the agent has logged nothing {of}since they started");
	}
	if !arguments.follow {
		return Ok(ExitCode::SUCCESS);
	}
	loop {
		tokio::time::sleep(limits::LOG_FOLLOW_EVERY).await;
		let at = chain.finalized_head().await?;
		let asking = members.iter().map(|member| async {
			let client = WorkerClient::new(&member.endpoint)?;
			in_time(page(&client, genesis, &account, agent, at.number, None)).await
		});
		for (member, page) in members.iter().zip(futures::future::join_all(asking).await) {
			// One that does not answer now may do so later, and then says what is missing.
			let Ok(page) = page else { continue };
			for entry in followed.newly(member.worker, page) {
				print(member.worker, &entry)?;
			}
		}
	}
}

/// How far each worker's log was shown.
#[derive(Default)]
struct Followed {
	/// The number of the line that comes next.
	next: BTreeMap<WorkerId, u64>,
}

impl Followed {
	/// What of a worker's newest page was not shown yet.
	fn newly(&mut self, worker: WorkerId, page: Page) -> Vec<LogEntry> {
		let next = self.next.entry(worker).or_default();
		let (first, end) = (page.first, page.end());
		// Numbers begin anew with a boot.
		let shown = if end < *next { first } else { (*next).max(first) };
		if shown > *next || end < *next {
			say!("warning: lines of worker {worker} are missing here: it started again, or logs fast");
		}
		*next = end;
		let known = usize::try_from(shown - first).unwrap_or(usize::MAX);
		page.entries.into_iter().skip(known).collect()
	}
}

fn log_line(worker: WorkerId, entry: &LogEntry) -> LogLine {
	let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
	LogLine {
		worker,
		time: utc(entry.time_ms),
		block: entry.block,
		request: entry.request.into(),
		level: text(&entry.level),
		message: text(&entry.message),
	}
}

/// A time as in RFC 3339, to milliseconds, UTC. A worker may say anything: nothing of what is no time.
fn utc(time_ms: u64) -> Option<String> {
	let time = DateTime::from_timestamp_millis(i64::try_from(time_ms).ok()?)?;
	// Later years have a sign and five digits.
	(time.year() <= 9999).then(|| time.to_rfc3339_opts(SecondsFormat::Millis, true))
}

/// An entry as people read it: on one line, or on indented ones after it, whatever the agent wrote.
fn shown(worker: WorkerId, entry: &LogEntry) -> String {
	let text = |bytes: &[u8]| terminal::line(&String::from_utf8_lossy(bytes));
	// Its beginning is enough to tell what one request said from what the others did.
	let request = hex::encode(&entry.request.as_bytes()[..4]);
	let time = utc(entry.time_ms).unwrap_or_else(|| "-".into());
	let time = time.replace('T', " ").replace('Z', "");
	format!(
		"{time:<23}  block {:<6} worker {worker}  {request}  {:<5}  {}",
		entry.block,
		text(&entry.level),
		terminal::indented(&String::from_utf8_lossy(&entry.message))
	)
}

/// What one worker has of an agent's log.
struct WorkerLog {
	/// Oldest first.
	entries: Vec<LogEntry>,
	/// Why older ones are missing, if they are.
	cut: Option<String>,
	/// The number of the line that comes next.
	next: u64,
}

/// A part of one worker's log.
struct Page {
	/// The number of its first line.
	first: u64,
	entries: Vec<LogEntry>,
	/// By what number the page before it is asked for.
	older: Option<u64>,
}

impl Page {
	/// The number of the line that comes next.
	fn end(&self) -> u64 {
		self.first.saturating_add(self.entries.len() as u64)
	}
}

/// Asks for page after page, newest first.
async fn of_worker(
	genesis: H256,
	account: &Account,
	agent: AgentId,
	block: BlockNumber,
	url: &str,
) -> anyhow::Result<WorkerLog> {
	let client = WorkerClient::new(url)?;
	let page = |before| page(&client, genesis, account, agent, block, before);
	let newest = page(None).await?;
	let (next, mut older) = (newest.end(), newest.older);
	let mut pages = vec![newest.entries];
	let mut cut = None;
	while let Some(before) = older {
		if pages.len() == limits::LOG_PAGES_MAX {
			cut = Some(format!("at most {} pages are asked for", limits::LOG_PAGES_MAX));
			break;
		}
		match page(Some(before)).await {
			Ok(page) => {
				pages.push(page.entries);
				older = page.older.filter(|older| *older < before);
				if older != page.older {
					cut = Some("the worker leads in a circle".into());
				}
			}
			Err(error) => {
				cut = Some(format!("{error:#}"));
				break;
			}
		}
	}
	Ok(WorkerLog { entries: pages.into_iter().rev().flatten().collect(), cut, next })
}

/// The newest page, or the one before a line.
async fn page(
	client: &WorkerClient,
	genesis: H256,
	account: &Account,
	agent: AgentId,
	block: BlockNumber,
	before: Option<u64>,
) -> anyhow::Result<Page> {
	let conversation = Conversation::new(genesis, agent, account.bytes())?;
	let (nonce, reply_key) = (conversation.nonce, conversation.reply_key());
	let content = LogsContent::new(genesis, agent, nonce, reply_key, block).encode();
	let signature = account.keypair.sign(&content).0;
	let query = LogsQuery { nonce, reply_key, block, signature };
	let LogPage { sealed, first, older_before: older } =
		client.logs(agent, before, query.encode()).await?;
	let opened = conversation.open(&sealed)?;
	let entries =
		Vec::decode_all(&mut opened.expose()).context("what the worker sealed is no log")?;
	Ok(Page { first: first.unwrap_or_default(), entries, older })
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn what_follows_is_shown_once_and_a_new_boot_begins_anew() {
		let entry = |text: &str| LogEntry {
			time_ms: 0,
			block: 1,
			request: H256::zero(),
			level: b"info".to_vec(),
			message: text.into(),
		};
		let page = |first, texts: &[&str]| Page {
			first,
			entries: texts.iter().map(|text| entry(text)).collect(),
			older: None,
		};
		let mut followed = Followed { next: [(1, 2)].into() };
		let mut newly = |page| {
			let entries = followed.newly(1, page).into_iter();
			entries.map(|entry| String::from_utf8(entry.message).unwrap()).collect::<Vec<_>>()
		};
		assert_eq!(newly(page(0, &["a", "b"])), [""; 0]);
		assert_eq!(newly(page(0, &["a", "b", "c"])), ["c"]);
		// The older ones are on a page of their own by now.
		assert_eq!(newly(page(3, &["d", "e"])), ["d", "e"]);
		assert_eq!(newly(page(0, &["of the next boot"])), ["of the next boot"]);
		assert_eq!(newly(page(0, &["of the next boot", "more"])), ["more"]);
	}

	#[test]
	fn an_agent_cannot_clear_the_screen_of_its_owner_or_forge_an_entry() {
		let entry = LogEntry {
			time_ms: 1_795_345_537_123,
			block: 7,
			request: H256::zero(),
			level: b"info".to_vec(),
			message: b"\x1b[2J\x1b[Hall well\n2026-11-22 11:05:38.000  block 8\rpaid\xff".to_vec(),
		};
		let expected = "2026-11-22 11:05:37.123  block 7      worker 1  00000000  info   \\u{1b}[2J\\u{1b}[Hall well\n    | 2026-11-22 11:05:38.000  block 8\\rpaid\u{fffd}";
		assert_eq!(shown(1, &entry), expected);
	}

	#[test]
	fn times_are_those_of_the_calendar_and_what_is_none_is_left_out() {
		let day = 24 * 60 * 60 * 1_000;
		for (time_ms, expected) in [
			(0, "1970-01-01T00:00:00.000Z"),
			(951_782_400_000, "2000-02-29T00:00:00.000Z"),
			(951_782_400_000 + day, "2000-03-01T00:00:00.000Z"),
			(4_107_542_399_999, "2100-02-28T23:59:59.999Z"),
			(4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
			(1_735_689_599_999, "2024-12-31T23:59:59.999Z"),
			(253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
		] {
			assert_eq!(utc(time_ms).as_deref(), Some(expected));
		}
		assert_eq!(utc(253_402_300_800_000), None);
		assert_eq!(utc(u64::MAX), None);
	}

	const GENESIS: H256 = H256([1; 32]);
	const AGENT: H256 = H256([2; 32]);

	fn line(number: u64) -> LogEntry {
		let (level, message) = (b"info".to_vec(), number.to_string().into_bytes());
		LogEntry { time_ms: 0, block: 7, request: H256::zero(), level, message }
	}

	/// A worker whose pages are of one line each: which line it gives, and what it says is older.
	async fn worker(pages: fn(before: Option<u64>) -> (u64, bool)) -> String {
		use axum::{body::Bytes, http::Uri, routing::post, Router};
		use phala_keys::{
			hpke::EncryptionKey,
			reply::{seal_reply, ReplyContext},
		};
		let owner = Account::of_secret("//Alice").unwrap().bytes();
		let answer = move |asked: Uri, body: Bytes| async move {
			let before = asked.query().map(|query| query.strip_prefix("before=").unwrap());
			let (number, has_older) = pages(before.map(|before| before.parse().unwrap()));
			let query = LogsQuery::decode_all(&mut &body[..]).unwrap();
			let context = ReplyContext::new(GENESIS, AGENT, owner.into(), query.nonce);
			let mut rng = crate::randomness::generator().unwrap();
			let key = EncryptionKey(query.reply_key);
			let entries = vec![line(number)].encode();
			let sealed = seal_reply(&mut rng, &key, &context, &entries).unwrap().encode();
			let headers = [
				("x-phala-log-first", number.to_string()),
				("x-phala-log-older", u8::from(has_older).to_string()),
			];
			(headers, sealed)
		};
		let router = Router::new().route(&format!("/v1/agents/{AGENT:?}/logs"), post(answer));
		let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
		let url = format!("http://{}", listener.local_addr().unwrap());
		tokio::spawn(async move { axum::serve(listener, router).await });
		url
	}

	async fn log_of(url: &str) -> (Vec<LogEntry>, Option<String>) {
		let owner = Account::of_secret("//Alice").unwrap();
		let log = of_worker(GENESIS, &owner, AGENT, 7, url).await.unwrap();
		(log.entries, log.cut)
	}

	#[tokio::test]
	async fn a_log_of_several_pages_is_read_to_its_oldest_line() {
		let honest = |before: Option<u64>| match before {
			None => (12, true),
			Some(before) => (before - 1, before - 1 > 10),
		};
		let (lines, cut) = log_of(&worker(honest).await).await;
		assert_eq!(lines, [line(10), line(11), line(12)]);
		assert_eq!(cut, None);
	}

	/// A worker that always says that there is more.
	struct Endless;

	impl Endless {
		fn circle(_: Option<u64>) -> (u64, bool) {
			(9, true)
		}

		fn descent(before: Option<u64>) -> (u64, bool) {
			(before.unwrap_or(1_000_000) - 1, true)
		}
	}

	#[tokio::test]
	async fn a_worker_that_always_has_older_lines_is_left_after_a_bounded_number_of_pages() {
		let (lines, cut) = log_of(&worker(Endless::circle).await).await;
		assert_eq!(lines.len(), 2);
		assert!(cut.is_some_and(|why| why.contains("circle")));
		let (lines, cut) = log_of(&worker(Endless::descent).await).await;
		assert_eq!(lines.len(), limits::LOG_PAGES_MAX);
		assert!(cut.is_some_and(|why| why.contains("pages")));
	}
}
