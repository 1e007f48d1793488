//! What commands tell programs is what their schemas say, and accounts are meant by their names. Every
//! command that any case here runs is held against its schema: what is run below is what no other does.

use crate::Stage;
use anyhow::{ensure, Context};
use phala_end_to_end::{
	cluster::{DEVELOPER, OWNER},
	schemas::{schemas, seen, ERROR},
};
use serde_json::Value;
use std::collections::BTreeSet;
use subxt_signer::sr25519::dev;

/// Shown by `tests/commands.rs`, `hosts.rs`, `network_up.rs` and `validators.rs`, which need no network
/// or start another.
const ELSEWHERE: [&str; 12] = [
	"account list",
	"account new",
	"account show",
	"dev",
	"network new",
	"network start",
	"network status",
	"network stop",
	"network up",
	"new",
	"schema",
	"validator rotate-keys",
];

/// What another tool shows for the development accounts: with the prefix that means no network.
fn addresses_of_no_network() -> Vec<String> {
	let known = [dev::alice(), dev::bob(), dev::charlie(), dev::dave(), dev::eve(), dev::ferdie()];
	known.map(|account| account.public_key().to_account_id().to_string()).into()
}

pub async fn accounts_are_meant_by_their_names_and_their_addresses_look_alike_everywhere(
	stage: &mut Stage,
) -> anyhow::Result<()> {
	let (phala, agent) = (&stage.network.phala, stage.agent.as_str());
	let developer = phala.of(DEVELOPER);
	let friend = phala.ok(&["account", "new", "friend"]).await?["address"].clone();

	let sent = phala.ok(&["account", "transfer", "friend", "20"]).await?;
	assert_eq!((&sent["to"], &sent["amount"]), (&friend, &"20000000000000".into()));
	let has = phala_end_to_end::until("the transfer to be final", || async {
		let has = phala.ok(&["account", "balance", "friend"]).await?;
		Ok((has["free"] != "0").then_some(has))
	});
	let has = has.await?;
	assert_eq!((&has["address"], &has["free"]), (&friend, &"20000000000000".into()));

	developer.ok(&["agent", "allow", agent, "friend"]).await?;
	let status = phala.ok(&["agent", "status", agent]).await?;
	assert_eq!(status["callers"], Value::Array(vec![friend.clone()]));
	developer.ok(&["agent", "access", agent, "listed"]).await?;
	let saved = stage.network.file("friend.json").display().to_string();
	let ask = ["call", agent, "/friend", "--account", "friend", "--save", &saved];
	assert_eq!(phala.ok(&ask).await?["verified"], true);
	developer.ok(&["agent", "access", agent, "public"]).await?;
	developer.ok(&["agent", "disallow", agent, "friend"]).await?;

	let verify = ["verify", &saved, "--node", &phala.node, "--caller"];
	assert_eq!(phala.ok(&[&verify[..], &["friend"]].concat()).await?["verified"], true);
	let said = phala.run(&[&verify[..], &["//Bob"]].concat()).await?;
	ensure!(said.code == Some(1) && said.json()?["verified"] == false, "{said:?}");

	// Each log has what its process says of accounts: none in another format.
	for (name, log) in stage.network.logs() {
		for address in addresses_of_no_network() {
			ensure!(!log.text().contains(&address), "the log of {name} names {address}");
		}
	}
	let eve = phala.ok(&["account", "show", "//Charlie"]).await?;
	let operator = eve["address"].as_str().context("it has an address")?;
	let logs = stage.network.logs();
	ensure!(logs.iter().any(|(_, log)| log.text().contains(operator)), "pherry names its operator");
	Ok(())
}

pub async fn who_cannot_pay_is_told_what_there_is_and_what_is_needed(
	stage: &mut Stage,
) -> anyhow::Result<()> {
	let (phala, agent) = (&stage.network.phala, stage.agent.as_str());
	let folder = stage.network.file("keeper").display().to_string();
	let cluster = stage.network.cluster.to_string();
	let poor = "--account=friend";
	// 20 PHA are less than this request, and than a worker's stake.
	for (command, takes) in [
		(&["account", "transfer", "//Eve", "30"][..], "the transfer takes 30 PHA"),
		(&["call", agent, "/", "--on-chain", "--max-fee", "30"], "a request takes 30 PHA"),
		(&["cluster", "create"], "a cluster's deposit takes 100 PHA"),
		(&["worker", "register"], "a worker's stake takes 1000 PHA"),
	] {
		let refused = phala.refused(&[command, &[poor]].concat()).await?;
		ensure!(refused.contains("has 20 PHA") && refused.contains(takes), "{refused}");
		// It does not get more by sending to itself.
		let remedy = if command[1] == "transfer" { "send less" } else { "phala account transfer" };
		ensure!(refused.contains(remedy), "{refused}");
	}
	let nobody = "--suri=//Nobody";
	let deploy = ["deploy", &folder, "--no-build", "--cluster", &cluster, "--new", nobody];
	let refused = phala.refused(&deploy).await?;
	ensure!(refused.contains("has 0 PHA") && refused.contains("deposit takes 10 PHA"), "{refused}");
	let refused = phala.refused(&["cluster", "accept", &cluster, nobody]).await?;
	ensure!(refused.contains("cannot pay") && refused.contains("has 0 PHA"), "{refused}");
	what_the_chain_would_refuse_costs_nothing(stage).await?;

	// Figures are those of what was given, not of what became of it.
	let long = "a".repeat(20_000);
	for way in [&["--on-chain"][..], &["--on-chain", "--public"]] {
		let ask = [&["call", agent, "/", "--data", &long][..], way].concat();
		let refused = phala.refused(&ask).await?;
		ensure!(refused.contains("a body of 20000 bytes is too long"), "{refused}");
	}
	Ok(())
}

/// Each is refused by what the node shows, before a transaction is made.
async fn what_the_chain_would_refuse_costs_nothing(stage: &Stage) -> anyhow::Result<()> {
	let (network, agent) = (&stage.network, stage.agent.as_str());
	let phala = &network.phala;
	let cluster = network.cluster.to_string();
	let worker = network.newest()?.id().to_string();
	let url = "http://203.0.113.7:8000";
	let before = network.chain.nonce(&dev::eve()).await?;
	for (command, part) in [
		(&["agent", "price", agent, "1"][..], "owns agent"),
		(&["agent", "transfer", agent, "//Ferdie"], "owns agent"),
		(&["cluster", "open", &cluster], "owns cluster"),
		(&["cluster", "remove", &cluster, &worker], "owns cluster"),
		(&["cluster", "evict", agent], "owns cluster"),
		(&["cluster", "join", "99", &worker, url], "there is no cluster 99"),
		(&["cluster", "join", &cluster, &worker, url], "is the operator of worker"),
		(&["cluster", "status", "99"], "there is no cluster 99"),
		(&["worker", "status", "99"], "there is no worker 99"),
		(&["worker", "close", "99"], "there is no worker 99"),
		(&["worker", "stake", &worker, "1"], "put up the stake"),
		(&["worker", "withdraw", &worker], "phala worker unstake"),
		(&["worker", "transfer", &worker, "//Ferdie"], "is the operator of worker"),
	] {
		let refused = phala.refused(command).await?;
		ensure!(refused.contains(part), "{command:?}: {refused}");
	}
	assert_eq!(network.chain.nonce(&dev::eve()).await?, before, "nothing was submitted");
	Ok(())
}

pub async fn the_other_commands_tell_what_their_schemas_say(
	stage: &mut Stage,
) -> anyhow::Result<()> {
	let (network, agent) = (&stage.network, stage.agent.as_str());
	let phala = &network.phala;
	let developer = phala.of(DEVELOPER);
	let status = phala.ok(&["agent", "status", agent]).await?;
	let price: u128 = status["unitPrice"].as_str().context("it has a price")?.parse()?;
	let pha = |price: u128| format!("{}.{:012}", price / 10u128.pow(12), price % 10u128.pow(12));
	developer.ok(&["agent", "price", agent, &pha(price + 1)]).await?;
	developer.ok(&["agent", "price", agent, &pha(price)]).await?;
	let refused = developer.refused(&["agent", "price", agent, &pha(price)]).await?;
	ensure!(refused.contains("already"), "{refused}");
	let refused = developer.refused(&["agent", "disallow", agent, "//Ferdie"]).await?;
	ensure!(refused.contains("is not on the list"), "{refused}");
	let own = developer.ok(&["agent", "list"]).await?;
	let ids: Vec<_> = own["agents"].as_array().context("agents")?.iter().collect();
	ensure!(ids.iter().any(|own| own["agent"] == agent), "{own}");

	let declared = developer.ok(&["secrets", "list", agent]).await?;
	assert_eq!(declared["declared"], Value::Array(vec!["WORD".into()]));
	let other = ["secrets", "set", agent, "OTHER", "--value-env", "HOME", "--force"];
	developer.ok(&other).await?;
	developer.ok(&["secrets", "remove", agent, "OTHER", "--force"]).await?;

	let cluster = network.cluster.to_string();
	let members = phala.ok(&["cluster", "status", &cluster]).await?;
	let members = members["members"].as_array().context("members")?;
	ensure!(members.iter().all(|member| member["phase"] == "serving"), "{members:?}");
	let url = members[0]["url"].as_str().context("a URL")?;
	assert_eq!(phala.ok(&["status", "--worker", url]).await?["phase"], "serving");

	let ask = ["call", agent, "/later", "--on-chain", "--data", "later", "--no-wait"];
	let request = phala.ok(&ask).await?["request"].clone();
	let listed = phala.ok(&["request", "list"]).await?;
	assert_eq!(listed["requests"][0]["request"], request, "the newest is first");
	let request = request.as_str().context("an id")?;
	let settled = phala.ok(&["request", "status", request, "--wait"]).await?;
	assert_eq!(settled["state"], "settled");
	let listed = phala.ok(&["request", "list"]).await?;
	assert_eq!(listed["requests"][0]["outcome"], "answered");
	let status = phala.ok(&["agent", "status", agent]).await?;
	let answers = status["answers"].as_array().context("members")?;
	ensure!(answers.iter().all(|at| at["ready"] == true), "{answers:?}");

	// Another agent gets new code: that of this one's other build.
	let folder = network.file("keeper").display().to_string();
	let deploy = ["deploy", &folder, "--no-build", "--cluster", &cluster, "--new"];
	let another = developer.ok(&deploy).await?["agent"].clone();
	let another = another.as_str().context("an id")?;
	developer.ok(&["agent", "upgrade", another, &folder, "--no-build"]).await?;

	// The cluster's owner gives it notice, its developer gives it away, and its new owner gives it up.
	let ferdie = phala.of("//Ferdie");
	let owner = phala.of(OWNER);
	let notice = owner.ok(&["cluster", "evict", another]).await?;
	ensure!(notice["from"].as_u64() > notice["block"].as_u64(), "{notice}");
	let refused = ferdie.refused(&["agent", "accept", another]).await?;
	ensure!(refused.contains("is offered to nobody"), "{refused}");
	developer.ok(&["agent", "transfer", another, "//Ferdie"]).await?;
	let refused = ferdie.refused(&["agent", "accept", another, "--deposit", "0.1"]).await?;
	ensure!(refused.contains("name at least"), "{refused}");
	ferdie.ok(&["agent", "accept", another]).await?;
	let status = phala.ok(&["agent", "status", another]).await?;
	assert_eq!(status["owner"], phala.ok(&["account", "show", "//Ferdie"]).await?["address"]);
	ferdie.ok(&["agent", "retire", "--yes", another]).await?;
	let gone = phala.refused(&["agent", "status", another]).await?;
	ensure!(gone.contains("no agent"), "{gone}");

	// A folder whose agent was given up deploys another.
	let retired = network.file("retired");
	std::fs::create_dir_all(retired.join("dist"))?;
	for built in std::fs::read_dir(network.file("keeper").join("dist"))? {
		let built = built?;
		std::fs::copy(built.path(), retired.join("dist").join(built.file_name()))?;
	}
	let retired = retired.display().to_string();
	let deploy = ["deploy", &retired, "--no-build", "--cluster", &cluster];
	let first = developer.ok(&[&deploy[..], &["--new"]].concat()).await?["agent"].clone();
	developer.ok(&["agent", "retire", "--yes", first.as_str().context("an id")?]).await?;
	let second = developer.ok(&deploy).await?;
	ensure!(second["registered"] == true && second["agent"] != first, "{second}");

	let own = phala.ok(&["cluster", "create"]).await?["cluster"].to_string();
	phala.ok(&["cluster", "open", &own, "--price-floor", "0.5", "--deposit", "20"]).await?;
	phala.ok(&["cluster", "close", &own]).await?;
	phala.ok(&["cluster", "admit", &own, "//Ferdie"]).await?;
	phala.ok(&["cluster", "dismiss", &own, "//Ferdie"]).await?;
	phala.ok(&["cluster", "transfer", &own, "//Ferdie"]).await?;
	ferdie.ok(&["cluster", "accept", &own]).await?;
	Ok(())
}

/// The last of all cases: what none of them ran is no promise.
pub async fn no_command_was_left_out(_: &mut Stage) -> anyhow::Result<()> {
	let shown = seen();
	let shown: BTreeSet<_> = shown.iter().map(String::as_str).chain(ELSEWHERE).collect();
	let commands = schemas()?.commands();
	let left_out: Vec<_> = commands.difference(&shown).collect();
	ensure!(left_out.is_empty(), "never run: {left_out:?}");
	ensure!(shown.contains(ERROR), "some were refused");
	Ok(())
}
