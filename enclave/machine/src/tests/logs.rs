//! Who reads an agent's log.

use super::{world::*, *};
use phala_keys::sr25519::sign_with_published_seed;
use phala_protocol::{
	agents::AgentId,
	limits::LOGS_QUERY_BLOCKS_MAX,
	requests::{LogsContent, LogsQuery},
	BlockNumber, H256,
};

fn query(world: &World, seed: [u8; 32], agent: AgentId, block: BlockNumber) -> LogsQuery {
	let (nonce, reply_key) = ([1; 32], [2; 32]);
	let content = LogsContent::new(world.chain.genesis(), agent, nonce, reply_key, block);
	let signature = sign_with_published_seed(seed, &content.encode());
	LogsQuery { nonce, reply_key, block, signature }
}

#[test]
fn only_the_owner_reads_an_agent_s_log_and_only_for_a_while() {
	let (mut world, agent) = World::with_agent(60);
	let block = world.chain.height();
	let asked = query(&world, USER_SEED, agent, block);
	let ask = |world: &mut World, query: &LogsQuery| {
		world.node(FIRST).snapshot.verify_logs_query(agent, query)
	};
	assert_eq!(ask(&mut world, &asked).unwrap(), account(USER_SEED));

	let thief = query(&world, THIEF_SEED, agent, block);
	assert!(matches!(ask(&mut world, &thief), Err(MachineError::NotOwner)));
	// The owner's question with the thief's key for the answer, and the owner's for another agent.
	let redirected = LogsQuery { reply_key: [3; 32], ..asked.clone() };
	assert!(matches!(ask(&mut world, &redirected), Err(MachineError::NotOwner)));
	let of_another = query(&world, USER_SEED, H256([9; 32]), block);
	assert!(matches!(ask(&mut world, &of_another), Err(MachineError::NotOwner)));

	// A copy of it is worth nothing later, nor does one from the future wait for its time.
	let now = world.node(FIRST).snapshot.status.height;
	for (block, is_taken) in
		[(now + LOGS_QUERY_BLOCKS_MAX, true), (now + LOGS_QUERY_BLOCKS_MAX + 1, false)]
	{
		let asked = query(&world, USER_SEED, agent, block);
		assert_eq!(ask(&mut world, &asked).is_ok(), is_taken, "{block} at {now}");
	}
	let first = query(&world, USER_SEED, agent, now);
	for _ in 0..=LOGS_QUERY_BLOCKS_MAX {
		world.chain.seal();
	}
	world.settle();
	assert!(matches!(ask(&mut world, &first), Err(MachineError::QueryTooOld { .. })));
}
