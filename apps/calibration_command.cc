// `shadowserve calibration`: shows calibration files, and gives them to the data plane for every engine.
#include <fmt/format.h>

#include <memory>

#include "command.h"
#include "profile_choice.h"
#include "wire/calibration_call.h"

namespace shadowserve {
namespace {

constexpr uint64_t kPatienceNs = 5'000 * kNsPerMs;

constexpr const char* kGroupFooter = R"(
Examples:
  shadowserve calibrate models/llama-8b             makes llama-8b.cal, once a model (needs PyTorch)
  shadowserve calibration show llama-8b.cal         what is in it, and which model it is for
  shadowserve calibration publish llama-8b.cal      from now on engines of this model need no file

The profiles near, balanced and far need a calibration of the model. Engines take it from the file that their
setting `calibration` names, or, without that setting, from the data plane's store.)";

constexpr const char* kPublishFooter = R"(
Examples:
  shadowserve calibration publish llama-8b.cal
  shadowserve calibration publish llama-8b.cal --socket /run/user/1000/shadowserve.sock

Checks the file and puts it into the store of the running data plane, under the fingerprint of the weights it was
made for. With a store that hosts share (redis:) one of them does it for all. Publishing another calibration of the
same model replaces it: engines that start from then on find nothing of what was stored with the old one.)";

constexpr const char* kShowFooter = R"(
Examples:
  shadowserve calibration show llama-8b.cal

The hash names this calibration in the keys of what is stored with it; the fingerprint is of the model's weights.)";

int show(const std::string& path) {
  const auto [calibration, bytes] = load_calibration(path);
  fmt::print("{}: a calibration, {} bytes\n", path, bytes.size());
  fmt::print("  model        {} layers of {} heads x {} in {}\n", calibration.layers, calibration.kv_heads,
             calibration.head_dim, calibration.element == ElementType::kBf16 ? "bf16" : "fp16");
  fmt::print("  fingerprint  {}\n  hash         {}\n", to_hex(calibration.fingerprint),
             to_hex(calibration.hash));
  fmt::print("  tables       {}\n", calibration.tables.size());
  for (const CalibrationPoint& point : calibration.points) {
    fmt::print("  {:<12} steps x {:.3g}, {:.3g} nats a predicted token lost, as foretold\n", point.name,
               point.scalar, point.expected_kl);
  }
  return 0;
}

int publish(const std::string& path, const Settings& settings) {
  const auto [calibration, file] = load_calibration(path);
  std::string message;
  const auto plane =
      find_plane(settings.text("socket"),
                 {settings.text("tls_certificate"), settings.text("tls_key"), settings.text("tls_ca")},
                 settings.text("tls_name"), {}, message);
  if (!plane) throw StartError(message);
  if (!publish_calibration(*plane, file, MonotonicClock().now_ns() + kPatienceNs, message))
    throw StartError(fmt::format("{} was not published: {}", path, message));
  fmt::print("published {} for the model with fingerprint {}\n", path, to_hex(calibration.fingerprint));
  return 0;
}

}  // namespace

Command add_calibration_command(CLI::App& root) {
  CLI::App* app = root.add_subcommand("calibration", "Show a model's calibration, or give it to all engines");
  app->footer(kGroupFooter);
  return {app, [app] {
            fmt::print("{}", app->help());
            return 2;
          }};
}

Command add_show_calibration_command(CLI::App& calibration) {
  CLI::App* app = calibration.add_subcommand("show", "What is in a calibration file");
  app->footer(kShowFooter);
  const auto path = std::make_shared<std::string>();
  app->add_option("file", *path, "calibration file")->type_name("FILE")->required();
  return {app, [path] { return show(*path); }};
}

Command add_publish_calibration_command(CLI::App& calibration) {
  CLI::App* app = calibration.add_subcommand("publish", "Put a calibration into the data plane's store");
  app->footer(kPublishFooter);
  const auto path = std::make_shared<std::string>();
  const auto flags = std::make_shared<SettingFlags>();
  app->add_option("file", *path, "calibration file")->type_name("FILE")->required();
  flags->add_to(*app, {"socket", "tls_certificate", "tls_key", "tls_ca", "tls_name"});
  return {app, [path, flags] { return publish(*path, flags->load()); }};
}

}  // namespace shadowserve
