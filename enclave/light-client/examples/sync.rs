//! What it takes to follow a chain that has grown for long: a million blocks, with as many changes of
//! validators and messages as are named. Run by hand, in release:
//!
//! ```text
//! cargo run --release -p phala-light-client --features test-support --example sync
//! cargo run --release … --example sync -- 1000000 1000 300 100000   # blocks, set changes, validators, messages
//! ```
//!
//! The chain is made first and written to a file as a relayer would bring it; another process reads it
//! bundle after bundle, so that its memory is the client's alone.

use codec::{Decode, Encode};
use phala_light_client::{
	decode_genesis_bundle, decode_sync_bundle, test_chain::TestChain, LightClient, MailboxReader,
};
use phala_protocol::{mailbox::Channel, H256};
use std::{
	error::Error,
	fs::File,
	io::{BufReader, BufWriter, ErrorKind, Read, Write},
	path::Path,
	process::Command,
	time::Instant,
};

const CHANNELS: [Channel; 4] =
	[Channel::System, Channel::Gatekeepers, Channel::Cluster(1), Channel::Worker(1)];
/// About as long as an order with a short sealed input.
const MESSAGE_BYTES: usize = 500;

fn main() -> Result<(), Box<dyn Error>> {
	let arguments: Vec<String> = std::env::args().skip(1).collect();
	if let [command, file] = &arguments[..] {
		if command == "follow" {
			return follow(Path::new(file));
		}
	}
	let mut figures = [1_000_000, 1_000, 100, 100_000];
	for (figure, argument) in figures.iter_mut().zip(&arguments) {
		*figure = argument.parse()?;
	}
	let [blocks, sets, validators, messages] = figures;
	let file = std::env::temp_dir().join(format!("phala-sync-{}", std::process::id()));
	let made = make(&file, blocks, sets, validators, messages);
	let followed = made.and_then(|()| {
		let follower = Command::new(std::env::current_exe()?).arg("follow").arg(&file).status()?;
		if follower.success() {
			Ok(())
		} else {
			Err("the client did not follow".into())
		}
	});
	std::fs::remove_file(&file)?;
	followed
}

/// Writes a genesis, then a bundle for each set of validators, each after its length.
fn make(
	file: &Path,
	blocks: u32,
	sets: u32,
	validators: u32,
	messages: u32,
) -> Result<(), Box<dyn Error>> {
	let (per_set, spacing) = (blocks / sets, (blocks / messages).max(1));
	let mut out = BufWriter::new(File::create(file)?);
	let mut write = |bytes: Vec<u8>| out.write_all(&bytes.encode());
	let mut chain = TestChain::new(1, validators as usize);
	write(chain.genesis().encode())?;
	write(chain.genesis_bundle().encode())?;
	write(chain.heads_proof(0, CHANNELS).encode())?;
	let mut read = CHANNELS.map(|channel| (channel, 0));
	for set in 1..=sets {
		let from = chain.height();
		while chain.height() < set * per_set {
			let number = chain.height() + 1;
			if number.is_multiple_of(spacing) {
				let channel = CHANNELS[(number / spacing) as usize % CHANNELS.len()];
				chain.push(channel, vec![number as u8; MESSAGE_BYTES]);
			}
			if number == set * per_set {
				chain.change_authorities(validators as usize);
			}
			chain.seal();
		}
		let to = chain.height();
		let bodies = read.map(|(channel, seq)| phala_protocol::relay::ChannelBodies {
			channel,
			messages: chain.messages(channel, seq, to),
		});
		for ((_, seq), bodies) in read.iter_mut().zip(&bodies) {
			*seq += bodies.messages.len() as u64;
		}
		let bundle = phala_protocol::relay::SyncBundle {
			steps: chain.steps(from, to),
			state_proof: chain.heads_proof(to, CHANNELS),
			bodies: bodies.into_iter().filter(|bodies| !bodies.messages.is_empty()).collect(),
		};
		write(bundle.encode())?;
	}
	println!("{blocks} blocks, {sets} changes of {validators} validators, {messages} messages of {MESSAGE_BYTES} bytes");
	Ok(out.flush()?)
}

/// As an enclave does: everything is decoded, checked and applied.
fn follow(file: &Path) -> Result<(), Box<dyn Error>> {
	let bytes = file.metadata()?.len();
	let mut input = BufReader::new(File::open(file)?);
	let mut read = || -> Result<Option<Vec<u8>>, Box<dyn Error>> {
		let Some(length) = read_length(&mut input)? else { return Ok(None) };
		let mut bytes = vec![0; length];
		input.read_exact(&mut bytes)?;
		Ok(Some(bytes))
	};
	let mut begun = || -> Result<Vec<u8>, Box<dyn Error>> { Ok(read()?.ok_or("the file is cut")?) };
	let genesis = H256::decode(&mut &begun()?[..])?;
	let bundle = decode_genesis_bundle(&begun()?)?;
	let heads = Decode::decode(&mut &begun()?[..])?;
	let since = Instant::now();
	let client = LightClient::from_genesis(genesis, &bundle)?;
	let state = client.prove(heads)?;
	let mut reader = MailboxReader::new(client).adopt(&state, CHANNELS)?;
	let mut messages = 0;
	while let Some(bytes) = read()? {
		let synced = reader.sync(decode_sync_bundle(&bytes)?, |_| vec![])?;
		messages += synced.messages.len();
		reader = synced.reader;
	}
	println!(
		"block {}, {messages} messages: {:.1} s on one core, {:.0} MB brought, at most {} resident",
		reader.client().height(),
		since.elapsed().as_secs_f64(),
		bytes as f64 / 1e6,
		resident_max()?,
	);
	Ok(())
}

/// The length before an item, in SCALE; `None` at the end.
fn read_length(input: &mut impl Read) -> Result<Option<usize>, Box<dyn Error>> {
	let mut first = [0];
	match input.read_exact(&mut first) {
		Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
		read => read?,
	}
	let mut whole = (&first[..]).chain(input);
	let length = codec::Compact::<u32>::decode(&mut codec::IoReader(&mut whole))?;
	Ok(Some(length.0 as usize))
}

/// As Linux counts it.
fn resident_max() -> Result<String, Box<dyn Error>> {
	let status = std::fs::read_to_string("/proc/self/status")?;
	let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
	Ok(line.ok_or("no VmHWM")?.trim().to_owned())
}
