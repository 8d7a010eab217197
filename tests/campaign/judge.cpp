// Judges the histories that the members of the groups have written.
//
// judge FILE ...      the file names of one group begin with its name: GROUP--ANYTHING.history
//
// Prints all violations, and a line of figures at the end. Exit code 1 for a broken promise, 2 if a history
// can't be read.
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "checker/checker.hpp"

namespace {

/// Sets the ring of first views: a stock service reports a ring a little after the first view in it.
void name_first_rings(cpgring::checker::history& one) {
  std::uint64_t ring = 0;
  for (auto e = one.events.rbegin(); e != one.events.rend(); ++e) {
    switch (e->what) {
      case cpgring::checker::event::kind::gap: ring = 0; break;
      case cpgring::checker::event::kind::ring: ring = e->ring; break;
      case cpgring::checker::event::kind::view: ring = e->ring = e->ring != 0 ? e->ring : ring; break;
      default: break;
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  using namespace cpgring::checker;
  std::map<std::string, std::vector<history>> groups;
  for (int i = 1; i < argc; ++i) {
    const std::filesystem::path file = argv[i];
    if (std::error_code none; std::filesystem::file_size(file, none) == 0) {
      continue;  // the handle never reached its service
    }
    std::ifstream in(file);
    std::string error;
    auto one = read(in, error);
    if (!one) {
      fmt::print("{}: {}\n", file.string(), error);
      return 2;
    }
    name_first_rings(*one);
    const auto name = file.filename().string();
    one->process += fmt::format(" ({})", name.substr(0, name.rfind('.')));
    groups[name.substr(0, name.find("--"))].push_back(std::move(*one));
  }
  verdict all;
  for (const auto& [group, histories] : groups) {
    const auto found = check(histories);
    if (!found.good()) {
      fmt::print("group {}: {}", group, found.text());
    }
    all.messages += found.messages;
    all.views += found.views;
    all.orders_compared += found.orders_compared;
    all.steps_compared += found.steps_compared;
    all.more += found.violations.size() + found.more;
  }
  fmt::print("messages={} views={} orders={} steps={} violations={}\n", all.messages, all.views,
             all.orders_compared, all.steps_compared, all.more);
  return all.more == 0 ? 0 : 1;
}
