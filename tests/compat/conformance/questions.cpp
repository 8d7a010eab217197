// Queries: members, local node, iterations.
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

#include "stage.hpp"

namespace conformance {
namespace {

void print_iteration(cpg_handle_t h, cpg_iteration_type_t type, const cpg_name* of) {
  cpg_iteration_handle_t i = 0;
  say("initialize %d", cpg_iteration_initialize(h, type, of, &i));
  cpg_iteration_description_t d;
  cs_error_t code = CS_OK;
  std::vector<std::string> mine;
  while ((code = cpg_iteration_next(i, &d)) == CS_OK) {
    const std::string name(d.group.value, d.group.length);
    if (name.compare(0, group_text.size(), group_text) == 0) {
      mine.push_back(name.substr(group_text.size()) + "/" + (d.pid == 0 ? "0" : who(d.pid)) +
                     (d.nodeid == 0 ? "/0" : "/node"));
    }
  }
  std::sort(mine.begin(), mine.end());
  for (const auto& one : mine) {
    say("  group%s", one.c_str());
  }
  say("end %d", code);
  say("finalize %d", cpg_iteration_finalize(i));
}

void add_question_cases() {
  const auto members = [](cpg_handle_t h, cpg_name n) {
    cpg_address list[CPG_MEMBERS_MAX];
    int count = 7;
    const cs_error_t code = cpg_membership_get(h, &n, list, &count);
    say("%d %d", code, code == CS_OK ? count : -1);
    for (int i = 0; code == CS_OK && i < count; ++i) {
      say("  %s", who(list[i].pid).c_str());
    }
  };
  add("members/own_group", [members] { members(open_joined(), group); });
  add("members/unknown_group", [members] { members(open_joined(), name_of("no such group")); });
  add("members/of_anothers_group_without_joining", [members] {
    open_joined();
    members(open_handle(), group);
  });
  add("members/name_of_129", [members] {
    cpg_name n = group;
    n.length = 129;
    members(open_handle(), n);
  });
  add("members/of_two", [members] {
    other_member other;
    const auto h = open_joined();
    the.loud = false;
    other.ask("join");
    until(h, [] { return the.changes == 2; });
    members(h, group);
  });
  add("local/the_same_before_and_after_joining", [] {
    unsigned before = 0, after = 0;
    const auto h = open_handle();
    say("%d", cpg_local_get(h, &before));
    join(h, &group);
    say("%d", cpg_local_get(h, &after));
    say("%s", before == after && before != 0 ? "same" : "another");
  });
  add("iteration/names", [] { print_iteration(open_joined(), CPG_ITERATION_NAME_ONLY, nullptr); });
  add("iteration/one_group", [] { print_iteration(open_joined(), CPG_ITERATION_ONE_GROUP, &group); });
  add("iteration/all", [] { print_iteration(open_joined(), CPG_ITERATION_ALL, nullptr); });
  add("iteration/all_of_two_groups", [] {
    const auto h = open_joined();
    open_joined(name_of(group_text + "x"));
    print_iteration(h, CPG_ITERATION_ALL, nullptr);
  });
  add("iteration/unknown_group", [] {
    const cpg_name n = name_of("no such group");
    print_iteration(open_joined(), CPG_ITERATION_ONE_GROUP, &n);
  });
  for (const int type : {0, 4, -1}) {
    add("iteration/type_" + std::to_string(type), [type] {
      cpg_iteration_handle_t i = 0;
      say("%d",
          cpg_iteration_initialize(open_handle(), static_cast<cpg_iteration_type_t>(type), nullptr, &i));
    });
  }
  add("iteration/one_group_without_a_name", [] {
    cpg_iteration_handle_t i = 0;
    say("%d", cpg_iteration_initialize(open_handle(), CPG_ITERATION_ONE_GROUP, nullptr, &i));
  });
  add("iteration/all_with_a_name", [] {
    cpg_iteration_handle_t i = 0;
    say("%d", cpg_iteration_initialize(open_handle(), CPG_ITERATION_ALL, &group, &i));
  });
  add("iteration/name_of_129", [] {
    cpg_iteration_handle_t i = 0;
    cpg_name n = group;
    n.length = 129;
    say("%d", cpg_iteration_initialize(open_handle(), CPG_ITERATION_ONE_GROUP, &n, &i));
  });
  add("iteration/finalize_twice_and_next_after_it", [] {
    cpg_iteration_handle_t i = 0;
    cpg_iteration_description_t d;
    say("%d", cpg_iteration_initialize(open_joined(), CPG_ITERATION_ALL, nullptr, &i));
    say("%d", cpg_iteration_finalize(i));
    say("%d", cpg_iteration_finalize(i));
    say("%d", cpg_iteration_next(i, &d));
  });
  add("iteration/a_snapshot", [] {
    const auto h = open_joined();
    cpg_iteration_handle_t i = 0;
    say("%d", cpg_iteration_initialize(h, CPG_ITERATION_ONE_GROUP, &group, &i));
    leave(h, &group);
    until(h, [] { return the.changes == 2; });
    cpg_iteration_description_t d;
    say("%d", cpg_iteration_next(i, &d));
    say("%d", cpg_iteration_next(i, &d));
    say("%d", cpg_iteration_next(i, &d));
  });
}

}  // namespace

void add_questions() { add_question_cases(); }

}  // namespace conformance
