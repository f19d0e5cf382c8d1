// `shadowserve link`: what the link across machines needs before anybody can connect.
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <memory>

#include "command.h"
#include "wire/network/tls_keys.h"

namespace shadowserve {
namespace {

constexpr const char* kGroupFooter = R"(
Examples:
  shadowserve link keys ~/keys --name nic0          a CA and certificates for a data plane on the machine nic0
  shadowserve bench link                            how long a question takes, on this host and over TLS

Engines on one machine and their data plane on another - or on a SmartNIC - speak TLS 1.3 and show certificates of one
CA to each other. docs/smartnic.md has the whole picture.)";

constexpr const char* kKeysFooter = R"(
Examples:
  shadowserve link keys ~/keys
  shadowserve link keys ~/keys --name nic0 --name 192.168.100.2 --days 90

Writes ca.pem, plane.pem, engine.pem and their private keys. The data plane's machine needs plane.*, the engine's
machine engine.*, both need ca.pem, and ca.key belongs to neither: keep it away from both. Run again, it renews both
certificates and keeps the CA.)";

struct KeysChoice {
  std::string folder;
  std::vector<std::string> names;
  int days = 825;
};

std::vector<std::string> names_of_this_machine() {
  std::array<char, 256> host{};
  if (gethostname(host.data(), host.size() - 1) != 0) host[0] = '\0';
  std::vector<std::string> names = {"localhost", "127.0.0.1", "::1"};
  if (host[0] != '\0') names.emplace_back(host.data());
  return names;
}

int make_keys(const KeysChoice& choice) {
  TlsKeysOptions options;
  options.folder = choice.folder;
  options.names = names_of_this_machine();
  options.names.insert(options.names.end(), choice.names.begin(), choice.names.end());
  options.valid_until_s = int64_t{choice.days} * 86'400;
  std::string message;
  if (!make_tls_keys(options, message)) throw StartError(message);
  const std::string& folder = choice.folder;
  const std::string host = choice.names.empty() ? "127.0.0.1" : choice.names.front();
  fmt::print("{}: ca, plane and engine, valid for {} days\n\n", folder, choice.days);
  fmt::print(
      "data plane:\n  shadowserve plane --listen tls://0.0.0.0:7601 --tls-certificate {0}/plane.pem \\\n"
      "      --tls-key {0}/plane.key --tls-ca {0}/ca.pem --window /run/shadowserve-window.sock\n\n",
      folder);
  fmt::print(
      "engine, in kv_connector_extra_config:\n  \"socket\": \"tls://{1}:7601\", \"tls_certificate\": "
      "\"{0}/engine.pem\",\n"
      "  \"tls_key\": \"{0}/engine.key\", \"tls_ca\": \"{0}/ca.pem\", \"window\": "
      "\"/run/shadowserve-window.sock\"\n",
      folder, host);
  return 0;
}

}  // namespace

Command add_link_command(CLI::App& root) {
  CLI::App* app = root.add_subcommand("link", "Certificates for a data plane on another machine");
  app->footer(kGroupFooter);
  return {app, [app] {
            fmt::print("{}", app->help());
            return 2;
          }};
}

Command add_link_keys_command(CLI::App& link) {
  CLI::App* app =
      link.add_subcommand("keys", "Make a CA, and certificates for the data plane and for engines");
  app->footer(kKeysFooter);
  const auto choice = std::make_shared<KeysChoice>();
  app->add_option("folder", choice->folder, "where to write them; made if it is not there")
      ->type_name("DIR")
      ->required();
  app->add_option("--name", choice->names,
                  "host name or address under which engines find the data plane; may be repeated. Always "
                  "included: this "
                  "machine's name, localhost, shadowserve-plane")
      ->type_name("NAME");
  app->add_option("--days", choice->days, "how long the certificates are valid")
      ->type_name("N")
      ->check(CLI::Range(1, 3650))
      ->capture_default_str();
  return {app, [choice] { return make_keys(*choice); }};
}

}  // namespace shadowserve
