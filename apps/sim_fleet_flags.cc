// What the flags are called, and what they mean.
#include "sim_fleet_flags.h"

#include "bench/bench_options.h"

namespace shadowserve {
namespace {

using fleet::FaultRate;

template <typename Value>
CLI::Option* number(CLI::App& app, const char* group, const char* name, Value& value, const char* help) {
  return app.add_option(name, value, help)->group(group)->capture_default_str();
}

void add_engine_flags(CLI::App& app, FleetAsked& asked) {
  const char* group = "Engines";
  app.add_option("--engine", asked.engine, "l40s, h100 or h200, with an 8B model in 16 bits")
      ->check(CLI::IsMember({"l40s", "h100", "h200"}))
      ->group(group)
      ->capture_default_str();
  const auto over = [&](const char* name, auto& value, const char* help) {
    app.add_option(name, value, help)->group(group)->check(CLI::PositiveNumber);
  };
  over("--prefill-us", asked.prefill_us, "a prompt token's products, microseconds");
  over("--attention-ps", asked.attention_ps, "a prompt token's attention to a token before it, picoseconds");
  over("--step-ms", asked.step_ms, "a decode step without sequences");
  over("--step-tokens", asked.step_tokens, "prompt tokens of a step (chunked prefill)");
  over("--running", asked.running, "requests that have pages at once");
  over("--kv-tokens", asked.kv_tokens, "tokens that an engine's pages hold");
}

void add_network_flags(CLI::App& app, FleetAsked& asked) {
  const char* group = "Network and data planes";
  fleet::NetworkOptions& network = asked.options.network;
  number(app, group, "--nic-gbit", network.nic_gbit, "rate of a NIC, each way");
  number(app, group, "--engines-per-nic", network.engines_per_nic,
         "engines that share a NIC and its data plane");
  number(app, group, "--pipeline-gb-s", network.pipeline_gb_s, "values that a data plane unpacks, GB/s");
  number(app, group, "--save-gb-s", network.save_gb_s, "values that it packs, GB/s");
  number(app, group, "--rack-nics", network.rack_nics, "NICs behind one uplink; 0 = no uplink is ever full");
  number(app, group, "--oversubscription", network.oversubscription, "of an uplink");
  number(app, group, "--lookup-ms", network.lookup_ms, "until a lookup is answered");
  number(app, group, "--delivery-ms", network.delivery_ms, "of a fetch, beside its bytes");
  number(app, group, "--deadline-ms", network.deadline_ms, "of a fetch; what is missing then is computed");
}

void add_store_flags(CLI::App& app, FleetAsked& asked) {
  const char* group = "Store";
  fleet::StoreOptions& store = asked.options.store;
  number(app, group, "--engines-per-shard", store.engines_per_shard, "shards in proportion to engines");
  number(app, group, "--shards", store.shards, "that many instead");
  number(app, group, "--shard-gbit", store.shard_gbit, "rate of a shard, each way");
  number(app, group, "--shard-gb", store.shard_gb, "memory of a shard, GB");
  number(app, group, "--shard-requests", store.shard_requests_per_s, "requests a shard serves a second");
  number(app, group, "--run-chunks", store.run_chunks,
         "chunks placed and evicted together; 1 is exact and slower");
  app.add_flag("!--no-save", store.save, "engines do not store what they compute")->group(group);
  app.add_flag("!--keep-data", store.shard_loses_data, "a shard that failed comes back with its data")
      ->group(group);
  app.add_option("--fetch", asked.fetch,
                 "when: whatever is stored, or what is faster than computing by an estimate")
      ->check(CLI::IsMember({"stored", "faster"}))
      ->group(group)
      ->capture_default_str();
  number(app, group, "--ratio", asked.options.model.ratio, "values over records, of the profile");
  number(app, group, "--kv-bytes", asked.options.model.kv_bytes_per_token, "values of a token");
}

void add_workload_flags(CLI::App& app, FleetAsked& asked) {
  const char* group = "Requests";
  fleet::WorkloadOptions& load = asked.options.workload;
  app.add_option("--workload", asked.workload, "chat or documents")
      ->check(CLI::IsMember({"chat", "documents"}))
      ->group(group)
      ->capture_default_str();
  app.add_option("--trace", load.trace, "requests that were recorded, instead")
      ->type_name("FILE")
      ->group(group);
  app.add_option("--routing", asked.routing, "round-robin, sticky or least-loaded")
      ->check(CLI::IsMember({"round-robin", "sticky", "least-loaded"}))
      ->group(group)
      ->capture_default_str();
  number(app, group, "--rate", load.requests_per_engine_s, "requests a second for each engine");
  number(app, group, "--context", load.context_tokens_max, "tokens of the longest prompt with its answer");
  number(app, group, "--turns", load.turns_mean, "chat: turns of a conversation, mean");
  number(app, group, "--think", load.think_s, "chat: seconds before the next turn, mean");
  number(app, group, "--system-prompts", load.system_prompts, "chat: that many");
  number(app, group, "--system-tokens", load.system_tokens, "chat: of each");
  number(app, group, "--first-tokens", load.first_tokens, "chat: of the first message, median");
  number(app, group, "--user-tokens", load.user_tokens, "chat: of later messages, median");
  number(app, group, "--answer-tokens", load.answer_tokens, "of an answer, median");
  number(app, group, "--documents", load.documents_per_engine, "documents: that many for each engine");
  number(app, group, "--document-tokens", load.document_tokens, "documents: of one, median");
  number(app, group, "--question-tokens", load.question_tokens, "documents: of a question, median");
  number(app, group, "--zipf", load.zipf, "documents: exponent of their popularity");
  number(app, group, "--trace-block", load.trace_block_tokens, "trace: tokens of a block (hash_ids)");
  number(app, group, "--trace-copies", load.trace_copies,
         "trace: played so often at once, with keys of their own");
}

void add_fault_flags(CLI::App& app, FleetAsked& asked) {
  const char* group = "Failures (means of exponential times; 0 = never)";
  const auto fault = [&](const std::string& name, FaultRate& rate, const char* what) {
    app.add_option("--" + name + "-mtbf", rate.between_s, std::string("seconds between failures of ") + what)
        ->check(CLI::NonNegativeNumber)
        ->group(group)
        ->capture_default_str();
    app.add_option("--" + name + "-mttr", rate.repair_s, "seconds until it is well again")
        ->check(CLI::PositiveNumber)
        ->group(group)
        ->capture_default_str();
  };
  fault("shard", asked.options.shard_faults, "a shard");
  fault("nic", asked.options.nic_faults, "a NIC's data plane");
  fault("slow", asked.options.slow_faults, "a NIC's rate");
  number(app, group, "--slow-factor", asked.options.slow_factor, "of the rate that is left then");
}

void add_price_flags(CLI::App& app, FleetAsked& asked) {
  const char* group = "Prices in dollars (assumptions)";
  app.add_option("--engine-price", asked.engine_price, "an engine's hour; by default the preset's")
      ->check(CLI::NonNegativeNumber)
      ->group(group);
  number(app, group, "--nic-price", asked.options.prices.nic_hour,
         "a NIC's hour, or of the cores in its place");
  number(app, group, "--store-price", asked.options.prices.store_gb_hour, "a GB of the store for an hour");
  number(app, group, "--link-price", asked.options.prices.link_gb, "a GB over a link");
}

}  // namespace

fleet::FleetOptions FleetAsked::complete() const {
  fleet::FleetOptions made = options;
  choose_engine(made, engine);
  fleet::EngineParameters& own = made.engine;
  if (prefill_us >= 0) own.prefill_us_per_token = prefill_us;
  if (attention_ps >= 0) own.prefill_ps_per_token2 = attention_ps;
  if (step_ms >= 0) own.step_ms = step_ms;
  if (engine_price >= 0) own.dollars_per_hour = engine_price;
  if (kv_tokens >= 0) own.kv_tokens = static_cast<uint32_t>(std::min<int64_t>(kv_tokens, UINT32_MAX));
  if (step_tokens >= 0)
    own.step_tokens_max = static_cast<uint32_t>(std::min<int64_t>(step_tokens, UINT32_MAX));
  if (running >= 0) own.running_max = static_cast<uint32_t>(std::min<int64_t>(running, UINT32_MAX));
  made.workload.kind = !made.workload.trace.empty() ? fleet::WorkloadKind::kTrace
                       : workload == "chat"         ? fleet::WorkloadKind::kChat
                                                    : fleet::WorkloadKind::kDocuments;
  made.workload.routing = routing == "round-robin" ? fleet::Routing::kRoundRobin
                          : routing == "sticky"    ? fleet::Routing::kSticky
                                                   : fleet::Routing::kLeastLoaded;
  made.store.fetch_if_faster = fetch == "faster";
  return made;
}

void add_fleet_flags(CLI::App& app, FleetAsked& asked) {
  number(app, "Options", "--engines", asked.options.engines, "engines, 1 to 100000");
  app.add_option_function<double>(
         "--hours",
         [&asked](const double& hours) {
           asked.options.hours = hours;
           asked.hours_given = true;
         },
         "virtual time in which requests arrive (default 1; a trace's own)")
      ->type_name("HOURS");
  number(app, "Options", "--seed", asked.options.seed, "of everything that is drawn");
  app.add_option("--sweep", asked.sweep, "several fleets in one table: engines=1,10,100")
      ->type_name("engines=LIST");
  app.add_flag("!--no-baseline", asked.baseline, "leave the fleet without a store out");
  add_json_option(app, asked.json);
  app.add_option("--plot", asked.plot, "also draw it")->type_name("FILE.svg");
  add_engine_flags(app, asked);
  add_network_flags(app, asked);
  add_store_flags(app, asked);
  add_workload_flags(app, asked);
  add_fault_flags(app, asked);
  add_price_flags(app, asked);
}

}  // namespace shadowserve
