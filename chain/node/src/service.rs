//! The parts of a running node and how they are wired.

use crate::rpc;
use futures::{FutureExt, StreamExt};
use phala_runtime::{apis::RuntimeApi, opaque::Block, Hash};
use sc_consensus_babe::SlotProportion;
use sc_consensus_grandpa::{
	FinalityProofProvider, GrandpaParams, SharedVoterState, VotingRulesBuilder,
};
use sc_network::{config::NetworkBackendType, Event};
use sc_service::{
	error::Error as ServiceError, BuildNetworkParams, Configuration, SpawnTasksParams, TaskManager,
	WarpSyncConfig,
};
use sc_telemetry::TelemetryWorker;
use sc_transaction_pool_api::OffchainTransactionPoolFactory;
use std::{sync::Arc, time::Duration};

#[cfg(not(feature = "runtime-benchmarks"))]
type HostFunctions = sp_io::SubstrateHostFunctions;
#[cfg(feature = "runtime-benchmarks")]
type HostFunctions =
	(sp_io::SubstrateHostFunctions, frame_benchmarking::benchmarking::HostFunctions);

/// A justification is kept at least this often, in blocks, so that a light client that skipped
/// headers finds one near wherever it wants to be.
const JUSTIFICATION_PERIOD: u32 = 64;

/// How long GRANDPA's messages take through the network, at a guess.
const GOSSIP_DURATION: Duration = Duration::from_millis(333);

/// The same on a development chain, which has one validator.
const GOSSIP_DURATION_ALONE: Duration = Duration::from_millis(50);

/// Starts the node that `config` describes.
pub fn start(config: Configuration) -> Result<TaskManager, ServiceError> {
	match config.network.network_backend {
		NetworkBackendType::Libp2p => start_on::<sc_network::NetworkWorker<Block, Hash>>(config),
		NetworkBackendType::Litep2p => start_on::<sc_network::Litep2pNetworkBackend>(config),
	}
}

fn start_on<N: sc_network::NetworkBackend<Block, Hash>>(
	config: Configuration,
) -> Result<TaskManager, ServiceError> {
	// A development chain has one validator: there is nobody else whose votes take their time.
	let alone = config.chain_spec.chain_type() == sc_service::ChainType::Development;
	let telemetry = config
		.telemetry_endpoints
		.clone()
		.filter(|endpoints| !endpoints.is_empty())
		.map(|endpoints| -> Result<_, sc_telemetry::Error> {
			let worker = TelemetryWorker::new(16)?;
			let telemetry = worker.handle().new_telemetry(endpoints);
			Ok((worker, telemetry))
		})
		.transpose()?;

	let executor = sc_service::new_wasm_executor::<HostFunctions>(&config.executor);
	let (client, backend, keystore_container, mut task_manager) =
		sc_service::new_full_parts::<Block, RuntimeApi, _>(
			&config,
			telemetry.as_ref().map(|(_, telemetry)| telemetry.handle()),
			executor,
			Vec::new(),
		)?;
	let client = Arc::new(client);
	let mut telemetry = telemetry.map(|(worker, telemetry)| {
		task_manager.spawn_handle().spawn("telemetry", None, worker.run());
		telemetry
	});
	let telemetry_handle = telemetry.as_ref().map(|telemetry| telemetry.handle());

	let transaction_pool = Arc::from(
		sc_transaction_pool::Builder::new(
			task_manager.spawn_essential_handle(),
			client.clone(),
			config.role.is_authority().into(),
		)
		.with_options(config.transaction_pool.clone())
		.with_prometheus(config.prometheus_registry())
		.build(),
	);
	let offchain_tx_pool_factory = OffchainTransactionPoolFactory::new(transaction_pool.clone());

	// Import: a block goes through BABE's checks, then GRANDPA's, into the client.
	let select_chain = sc_consensus::LongestChain::new(backend.clone());
	let (grandpa_block_import, grandpa_link) = sc_consensus_grandpa::block_import(
		client.clone(),
		JUSTIFICATION_PERIOD,
		&client,
		select_chain.clone(),
		telemetry_handle.clone(),
	)?;
	let babe_config = sc_consensus_babe::configuration(&*client)?;
	let slot_duration = babe_config.slot_duration();
	let create_inherents = move |_, ()| async move {
		let timestamp = sp_timestamp::InherentDataProvider::from_system_time();
		let slot =
			sp_consensus_babe::inherents::InherentDataProvider::from_timestamp_and_slot_duration(
				*timestamp,
				slot_duration,
			);
		Ok((slot, timestamp))
	};
	let (block_import, babe_link) = sc_consensus_babe::block_import(
		babe_config,
		grandpa_block_import.clone(),
		client.clone(),
		create_inherents,
		select_chain.clone(),
		offchain_tx_pool_factory.clone(),
	)?;
	let (import_queue, babe_worker) =
		sc_consensus_babe::import_queue(sc_consensus_babe::ImportQueueParams {
			link: babe_link.clone(),
			block_import: block_import.clone(),
			justification_import: Some(Box::new(grandpa_block_import)),
			client: client.clone(),
			slot_duration,
			spawner: &task_manager.spawn_essential_handle(),
			registry: config.prometheus_registry(),
			telemetry: telemetry_handle.clone(),
		})?;

	// Network.
	let metrics = N::register_notification_metrics(config.prometheus_registry());
	let mut net_config = sc_network::config::FullNetworkConfiguration::<Block, Hash, N>::new(
		&config.network,
		config.prometheus_registry().cloned(),
	);
	let genesis_hash = client.chain_info().genesis_hash;
	let grandpa_protocol =
		sc_consensus_grandpa::protocol_standard_name(&genesis_hash, &config.chain_spec);
	let (grandpa_protocol_config, grandpa_notifications) =
		sc_consensus_grandpa::grandpa_peers_set_config::<_, N>(
			grandpa_protocol.clone(),
			metrics.clone(),
			net_config.peer_store_handle(),
		);
	net_config.add_notification_protocol(grandpa_protocol_config);
	let warp_sync = Arc::new(sc_consensus_grandpa::warp_proof::NetworkProvider::new(
		backend.clone(),
		grandpa_link.shared_authority_set().clone(),
		Vec::new(),
	));
	let (network, system_rpc_tx, tx_handler_controller, sync_service, _) =
		sc_service::build_network(BuildNetworkParams {
			config: &config,
			net_config,
			client: client.clone(),
			transaction_pool: transaction_pool.clone(),
			spawn_handle: task_manager.spawn_handle(),
			spawn_essential_handle: task_manager.spawn_essential_handle(),
			import_queue,
			block_announce_validator_builder: None,
			warp_sync_config: Some(WarpSyncConfig::WithProvider(warp_sync)),
			block_relay: None,
			metrics,
			gap_sync_body_policy: None,
		})?;

	// RPC.
	let voter_state = SharedVoterState::empty();
	let keystore = keystore_container.keystore();
	let rpc_builder = {
		let client = client.clone();
		let pool = transaction_pool.clone();
		let select_chain = select_chain.clone();
		let backend = backend.clone();
		let keystore = keystore.clone();
		let voter_state = voter_state.clone();
		let justifications = grandpa_link.justification_stream();
		let authority_set = grandpa_link.shared_authority_set().clone();
		let chain_spec: Arc<dyn sc_service::ChainSpec> = Arc::from(config.chain_spec.cloned_box());
		let finality_provider =
			FinalityProofProvider::new_for_service(backend.clone(), Some(authority_set.clone()));
		Box::new(move |executor| {
			rpc::create(rpc::Deps {
				client: client.clone(),
				pool: pool.clone(),
				select_chain: select_chain.clone(),
				backend: backend.clone(),
				keystore: keystore.clone(),
				babe_worker: babe_worker.clone(),
				authority_set: authority_set.clone(),
				voter_state: voter_state.clone(),
				justifications: justifications.clone(),
				finality_provider: finality_provider.clone(),
				chain_spec: chain_spec.clone(),
				executor,
			})
			.map_err(ServiceError::Application)
		})
	};

	let role = config.role;
	let name = config.network.node_name.clone();
	let force_authoring = config.force_authoring;
	let enable_grandpa = !config.disable_grandpa;
	let prometheus_registry = config.prometheus_registry().cloned();
	let authority_discovery_config = sc_authority_discovery::WorkerConfig {
		publish_non_global_ips: config.network.allow_non_globals_in_dht,
		public_addresses: config.network.public_addresses.clone(),
		// The network has no old nodes whose records lack their peer's signature.
		strict_record_validation: true,
		persisted_cache_directory: config.network.net_config_path.clone(),
		..Default::default()
	};

	sc_service::spawn_tasks(SpawnTasksParams {
		config,
		client: client.clone(),
		backend: backend.clone(),
		task_manager: &mut task_manager,
		keystore: keystore.clone(),
		transaction_pool: transaction_pool.clone(),
		rpc_builder,
		network: network.clone(),
		system_rpc_tx,
		tx_handler_controller,
		sync_service: sync_service.clone(),
		telemetry: telemetry.as_mut(),
		tracing_execute_block: None,
	})?;

	// Authoring.
	if role.is_authority() {
		let proposer_factory = sc_basic_authorship::ProposerFactory::new(
			task_manager.spawn_handle(),
			client.clone(),
			transaction_pool.clone(),
			prometheus_registry.as_ref(),
			telemetry_handle.clone(),
		);
		let babe = sc_consensus_babe::start_babe(sc_consensus_babe::BabeParams {
			keystore: keystore.clone(),
			client: client.clone(),
			select_chain,
			env: proposer_factory,
			block_import,
			sync_oracle: sync_service.clone(),
			justification_sync_link: sync_service.clone(),
			create_inherent_data_providers: create_inherents,
			force_authoring,
			backoff_authoring_blocks: Some(
				sc_consensus_slots::BackoffAuthoringOnFinalizedHeadLagging::default(),
			),
			babe_link,
			block_proposal_slot_portion: SlotProportion::new(0.5),
			max_block_proposal_slot_portion: None,
			telemetry: telemetry_handle.clone(),
		})?;
		task_manager.spawn_essential_handle().spawn_blocking(
			"babe",
			Some("block-authoring"),
			babe.boxed(),
		);
	}

	// Validators publish where they can be reached, and keep in touch with each other.
	if role.is_authority() {
		let dht_events = network
			.event_stream("authority-discovery")
			.filter_map(|event| async move {
				match event {
					Event::Dht(event) => Some(event),
					_ => None,
				}
			})
			.boxed();
		let (authority_discovery, _) = sc_authority_discovery::new_worker_and_service_with_config(
			authority_discovery_config,
			client,
			Arc::new(network.clone()),
			dht_events,
			sc_authority_discovery::Role::PublishAndDiscover(keystore.clone()),
			prometheus_registry.clone(),
			task_manager.spawn_handle(),
		);
		task_manager.spawn_handle().spawn(
			"authority-discovery",
			Some("networking"),
			authority_discovery.run(),
		);
	}

	// Voting.
	if enable_grandpa {
		let voter = sc_consensus_grandpa::run_grandpa_voter(GrandpaParams {
			config: sc_consensus_grandpa::Config {
				gossip_duration: if alone { GOSSIP_DURATION_ALONE } else { GOSSIP_DURATION },
				justification_generation_period: JUSTIFICATION_PERIOD,
				name: Some(name),
				observer_enabled: false,
				keystore: role.is_authority().then_some(keystore),
				local_role: role,
				telemetry: telemetry_handle.clone(),
				protocol_name: grandpa_protocol,
			},
			link: grandpa_link,
			network,
			sync: sync_service,
			notification_service: grandpa_notifications,
			// One validator has nobody to wait for. The default rules stay two blocks behind the best.
			voting_rule: if alone {
				VotingRulesBuilder::new().build()
			} else {
				VotingRulesBuilder::default().build()
			},
			prometheus_registry,
			shared_voter_state: voter_state,
			telemetry: telemetry_handle,
			offchain_tx_pool_factory,
		})?;
		task_manager.spawn_essential_handle().spawn_blocking("grandpa-voter", None, voter);
	}

	Ok(task_manager)
}
