// Joining and leaving.
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

void add_group_cases() {
  add("join/first", [] {
    const cpg_handle_t h = open_handle();
    say("fd %s", state_of(fd_of(h)));
    say("join %d", join(h, &group));
    say("fd %s", state_of(fd_of(h), 5000));
    say("one %d", cpg_dispatch(h, CS_DISPATCH_ONE));
    say("fd %s", state_of(fd_of(h)));
  });
  add("join/again_the_same", [] {
    const auto h = open_joined();
    say("%d", join(h, &group));
  });
  add("join/again_another", [] {
    const auto h = open_joined();
    const cpg_name n = name_of(group_text + "x");
    say("%d", join(h, &n));
  });
  add("join/through_a_second_handle", [] {
    open_joined();
    say("%d", join(open_handle(), &group));
  });
  add("join/another_group_through_a_second_handle", [] {
    open_joined();
    const cpg_name n = name_of(group_text + "x");
    say("%d", join(open_handle(), &n));
  });
  add("join/again_after_finalize", [] {
    say("finalize %d", cpg_finalize(open_joined()));
    const auto h = open_handle();
    cs_error_t code = CS_ERR_TRY_AGAIN;
    for (int i = 0; i < 2000 && (code == CS_ERR_TRY_AGAIN || code == CS_ERR_EXIST); ++i) {
      code = join(h, &group);
      ::usleep(1000);
    }
    say("%d", code);
  });
  for (const std::uint32_t length : {1U, 127U, 128U, 129U, 4000000000U}) {
    add("join/name_of_" + std::to_string(length), [length] {
      cpg_name n = name_of(std::string(128, 'n'));
      std::memcpy(n.value, group_text.data(),
                  std::min<std::size_t>(group_text.size(), length > 100 ? 100 : length));
      n.length = length;
      const auto h = open_handle();
      say("%d", join(h, &n));
      if (length <= 128) {
        until(h, [] { return the.changes == 1; });
      }
    });
  }
  add("join/name_of_0", [] {
    const cpg_name n{};
    say("%d", join(open_handle(), &n));
  });
  add("join/names_with_and_without_a_final_nul", [] {
    open_joined();
    const auto h = open_handle();
    cpg_name n = group;
    ++n.length;
    say("%d", join(h, &n));
  });
  add("leave/not_joined", [] { say("%d", leave(open_handle(), &group)); });
  add("leave/joined", [] {
    const auto h = open_joined();
    say("%d", leave(h, &group));
    until(h, [] { return the.changes == 2; });
    say("fd %s", state_of(fd_of(h)));
  });
  add("leave/twice", [] {
    const auto h = open_joined();
    say("%d", leave(h, &group));
    say("%d", leave(h, &group));
  });
  add("leave/name_of_129", [] {
    const auto h = open_joined();
    cpg_name n = group;
    n.length = 129;
    say("%d", leave(h, &n));
  });
  add("leave/another_groups_name", [] {
    const auto h = open_joined();
    const cpg_name n = name_of(group_text + "x");
    say("%d", leave(h, &n));
    wait_for_deliveries(h);
    say("dispatch %d", cpg_dispatch(h, CS_DISPATCH_ALL));
    say("changes %d", the.changes);
  });
  add("leave/then_join_the_same", [] {
    const auto h = open_joined();
    say("%d", leave(h, &group));
    until(h, [] { return the.changes == 2; });
    say("%d", join(h, &group));
  });
  add("leave/then_join_another", [] {
    const auto h = open_joined();
    const cpg_name n = name_of(group_text + "x");
    say("%d", leave(h, &group));
    until(h, [] { return the.changes == 2; });
    say("%d", join(h, &n));
  });
  add("leave/delivers_messages_sent_before", [] {
    const auto h = open_joined();
    for (int i = 0; i < 5; ++i) {
      send(h, "before" + std::to_string(i));
    }
    say("%d", leave(h, &group));
    until(h, [] { return the.changes == 2; });
    say("messages %d", the.messages);
  });
  add("leave/then_send", [] {
    const auto h = open_joined();
    say("%d", leave(h, &group));
    until(h, [] { return the.changes == 2; });
    say("send %d", send(h, "late"));
    wait_for_deliveries(h);
    say("dispatch %d", cpg_dispatch(h, CS_DISPATCH_ALL));
    say("messages %d", the.messages);
  });
}

}  // namespace

void add_groups() { add_group_cases(); }

}  // namespace conformance
