// Lines of JSON or of numbers, checked one by one.
#include "sim/fleet/fleet_trace.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>

namespace shadowserve::fleet {
namespace {

using nlohmann::json;

constexpr std::string_view kCsvHead = "arrival_s,conversation,input_tokens,output_tokens";
// A request's tokens; far above any model's context, far below an overflow.
constexpr uint64_t kTokensMax = 1u << 24;
constexpr double kArrivalSecondsMax = 1e8;

/// What is wrong with a line; empty when nothing is.
using Complaint = std::string;

Complaint take_arrival(double seconds, TraceRequest& request) {
  if (!std::isfinite(seconds) || seconds < 0 || seconds > kArrivalSecondsMax) return "the arrival is no time";
  request.arrival_ns = static_cast<int64_t>(seconds * 1e9);
  return {};
}

Complaint take_tokens(uint64_t input, uint64_t output, TraceRequest& request) {
  if (input < 1 || input > kTokensMax) return fmt::format("a prompt has 1 to {} tokens", kTokensMax);
  if (output < 1 || output > kTokensMax) return fmt::format("an answer has 1 to {} tokens", kTokensMax);
  request.input_tokens = static_cast<uint32_t>(input);
  request.output_tokens = static_cast<uint32_t>(output);
  return {};
}

std::optional<uint64_t> count_of(const json& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end() || !found->is_number_unsigned()) return std::nullopt;
  return found->get<uint64_t>();
}

Complaint take_json(const std::string& line, uint32_t block_tokens, Trace& trace, TraceRequest& request) {
  const json object = json::parse(line, nullptr, false);
  if (!object.is_object()) return "this is no JSON object";
  const auto timestamp = object.find("timestamp");
  if (timestamp == object.end() || !timestamp->is_number())
    return "\"timestamp\" (ms) is missing or no number";
  const auto input = count_of(object, "input_length"), output = count_of(object, "output_length");
  if (!input) return "\"input_length\" is missing or no count of tokens";
  if (!output) return "\"output_length\" is missing or no count of tokens";
  const auto ids = object.find("hash_ids");
  if (ids == object.end() || !ids->is_array()) return "\"hash_ids\" is missing or no list";
  if (Complaint wrong = take_arrival(timestamp->get<double>() * 1e-3, request); !wrong.empty()) return wrong;
  if (Complaint wrong = take_tokens(*input, *output, request); !wrong.empty()) return wrong;
  const uint64_t needed = (*input + block_tokens - 1) / block_tokens;
  if (ids->size() != needed) {
    return fmt::format("{} tokens are {} blocks of {}, but \"hash_ids\" has {}", *input, needed, block_tokens,
                       ids->size());
  }
  request.first_block = static_cast<uint32_t>(trace.block_ids.size());
  request.blocks = static_cast<uint32_t>(ids->size());
  for (const json& id : *ids) {
    if (!id.is_number_integer()) return "\"hash_ids\" holds something that is no whole number";
    trace.block_ids.push_back(static_cast<uint64_t>(id.get<int64_t>()));
  }
  return {};
}

template <typename Number>
bool take_number(std::string_view& rest, bool last, Number& number) {
  const size_t comma = rest.find(',');
  if ((comma == std::string_view::npos) != last) return false;
  const std::string_view word = rest.substr(0, comma);
  const auto [end, code] = std::from_chars(word.data(), word.data() + word.size(), number);
  rest.remove_prefix(last ? rest.size() : comma + 1);
  return code == std::errc() && end == word.data() + word.size();
}

Complaint take_csv(std::string_view line, TraceRequest& request) {
  double arrival_s = 0;
  uint64_t input = 0, output = 0;
  if (!take_number(line, false, arrival_s) || !take_number(line, false, request.conversation) ||
      !take_number(line, false, input) || !take_number(line, true, output)) {
    return fmt::format("four numbers are expected: {}", kCsvHead);
  }
  if (Complaint wrong = take_arrival(arrival_s, request); !wrong.empty()) return wrong;
  return take_tokens(input, output, request);
}

}  // namespace

tl::expected<Trace, std::string> read_trace(std::istream& in, uint32_t block_tokens) {
  Trace trace;
  std::string line;
  bool csv = false;
  for (uint64_t number = 1; std::getline(in, line); ++number) {
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (number == 1 && line == kCsvHead) {
      csv = true;
      continue;
    }
    if (line.empty()) continue;
    TraceRequest request;
    Complaint wrong = csv ? take_csv(line, request) : take_json(line, block_tokens, trace, request);
    if (wrong.empty() && !trace.requests.empty() && request.arrival_ns < trace.requests.back().arrival_ns) {
      wrong = "it arrives before the line above it";
    }
    if (!wrong.empty()) return tl::unexpected(fmt::format("line {}: {}", number, wrong));
    trace.requests.push_back(request);
  }
  if (trace.requests.empty()) return tl::unexpected(std::string("there is no request in it"));
  return trace;
}

}  // namespace shadowserve::fleet
