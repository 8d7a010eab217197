// cpgring groups: lists the members of all groups.
#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cli/command.hpp"
#include "cli/output.hpp"
#include "cli/text.hpp"

namespace cpgring::cli {
namespace {

struct groups_options {
  connection_options connection;
  bool json = false;
};

std::string groups_text(const std::vector<group_entry>& entries, bool as_json) {
  if (as_json) {
    auto list = nlohmann::json::array();
    for (const auto& e : entries) {
      list.push_back({{"group", e.group}, {"node_id", e.node_id}, {"pid", e.pid}});
    }
    // Names are arbitrary bytes: those that are not UTF-8 become the replacement character.
    return without_raw_controls(list.dump(2, ' ', false, nlohmann::json::error_handler_t::replace)) + "\n";
  }
  std::size_t width = 5;
  for (const auto& e : entries) {
    width = std::max(width, printable(e.group).size());
  }
  std::string text = fmt::format("{:<{}}  {:>10}  {:>10}\n", "group", width, "node", "pid");
  for (const auto& e : entries) {
    text += fmt::format("{:<{}}  {:>10}  {:>10}\n", printable(e.group), width, e.node_id, e.pid);
  }
  return text;
}

outcome groups(const groups_options& o) {
  engine loop;
  std::optional<result<std::vector<group_entry>>> answer;
  callbacks calls;
  calls.on_state = [&](handle& h, const state_change& change) {
    if (change.to == handle_state::ready) {
      auto asked = h.query_groups([&](result<std::vector<group_entry>> entries) {
        answer = std::move(entries);
        loop.stop();
      });
      if (!asked) {
        answer = fail(asked.error());
        loop.stop();
      }
    } else if (change.cause != nullptr) {
      answer = fail(*change.cause);
      loop.stop();
    }
  };
  auto opened = loop.open(o.connection.for_handle(), std::move(calls));
  if (!opened) {
    return complain(opened.error());
  }
  if (auto ran = loop.run(); !ran) {
    return complain(ran.error());
  }
  if (!*answer) {
    return complain(answer->error());
  }
  standard_output().write(groups_text(**answer, o.json));
  return outcome::done;
}

}  // namespace

void declare_groups(CLI::App& app, runner& run) {
  auto* command = app.add_subcommand("groups", "list the members of all groups of a service");
  auto o = std::make_shared<groups_options>();
  o->connection.declare(*command);
  command->add_flag("--json", o->json, "print a JSON list");
  command->callback([&run, o] { run = [o] { return groups(*o); }; });
}

}  // namespace cpgring::cli
