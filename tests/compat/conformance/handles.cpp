// Handles: invalid handles, null arguments, initialize and finalize.
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

/// Every call on an invalid handle.
void add_bad_handles() {
  const std::map<std::string, std::function<int(cpg_handle_t)>> calls{
      {"finalize", [](cpg_handle_t h) { return static_cast<int>(cpg_finalize(h)); }},
      {"fd_get",
       [](cpg_handle_t h) {
         int fd = 0;
         return static_cast<int>(cpg_fd_get(h, &fd));
       }},
      {"max_atomic_msgsize_get",
       [](cpg_handle_t h) {
         std::uint32_t n = 0;
         return static_cast<int>(cpg_max_atomic_msgsize_get(h, &n));
       }},
      {"context_get",
       [](cpg_handle_t h) {
         void* c = nullptr;
         return static_cast<int>(cpg_context_get(h, &c));
       }},
      {"context_set", [](cpg_handle_t h) { return static_cast<int>(cpg_context_set(h, nullptr)); }},
      {"dispatch_one", [](cpg_handle_t h) { return static_cast<int>(cpg_dispatch(h, CS_DISPATCH_ONE)); }},
      {"dispatch_all", [](cpg_handle_t h) { return static_cast<int>(cpg_dispatch(h, CS_DISPATCH_ALL)); }},
      {"dispatch_blocking",
       [](cpg_handle_t h) { return static_cast<int>(cpg_dispatch(h, CS_DISPATCH_BLOCKING)); }},
      {"dispatch_one_nonblocking",
       [](cpg_handle_t h) { return static_cast<int>(cpg_dispatch(h, CS_DISPATCH_ONE_NONBLOCKING)); }},
      {"join", [](cpg_handle_t h) { return static_cast<int>(join(h, &group)); }},
      {"leave", [](cpg_handle_t h) { return static_cast<int>(leave(h, &group)); }},
      {"mcast_joined", [](cpg_handle_t h) { return static_cast<int>(send(h, "x")); }},
      {"membership_get",
       [](cpg_handle_t h) {
         cpg_address list[CPG_MEMBERS_MAX];
         int count = CPG_MEMBERS_MAX;
         cpg_name n = group;
         return static_cast<int>(cpg_membership_get(h, &n, list, &count));
       }},
      {"local_get",
       [](cpg_handle_t h) {
         unsigned n = 0;
         return static_cast<int>(cpg_local_get(h, &n));
       }},
      {"flow_control_state_get",
       [](cpg_handle_t h) {
         cpg_flow_control_state_t s{};
         return static_cast<int>(cpg_flow_control_state_get(h, &s));
       }},
      {"zcb_alloc",
       [](cpg_handle_t h) {
         void* b = nullptr;
         return static_cast<int>(cpg_zcb_alloc(h, 100, &b));
       }},
      {"iteration_initialize",
       [](cpg_handle_t h) {
         cpg_iteration_handle_t i = 0;
         return static_cast<int>(cpg_iteration_initialize(h, CPG_ITERATION_ALL, nullptr, &i));
       }},
  };
  for (const auto& [name, call] : calls) {
    add("bad_handle/never_opened/" + name, [call = call] { say("%d", call(0x1234567800000005ULL)); });
    add("bad_handle/finalized/" + name, [call = call] {
      const cpg_handle_t h = open_handle();
      say("finalize %d", cpg_finalize(h));
      say("%d", call(h));
    });
  }
  add("bad_handle/never_opened/iteration_next", [] {
    cpg_iteration_description_t d;
    say("%d", cpg_iteration_next(0x1234567800000005ULL, &d));
  });
  add("bad_handle/never_opened/iteration_finalize",
      [] { say("%d", cpg_iteration_finalize(0x1234567800000005ULL)); });
}

void add_null_arguments() {
  add("null/initialize_handle", [] {
    cpg_callbacks_t calls{deliver, changed};
    say("%d", cpg_initialize(nullptr, &calls));
  });
  add("null/fd_get", [] { say("%d", cpg_fd_get(open_handle(), nullptr)); });
  add("null/max_atomic_msgsize_get", [] { say("%d", cpg_max_atomic_msgsize_get(open_handle(), nullptr)); });
  add("null/context_get", [] { say("%d", cpg_context_get(open_handle(), nullptr)); });
  add("null/join", [] { say("%d", join(open_handle(), nullptr)); });
  add("null/leave", [] { say("%d", leave(open_joined(), nullptr)); });
  add("null/mcast_joined", [] { say("%d", cpg_mcast_joined(open_joined(), CPG_TYPE_AGREED, nullptr, 1)); });
  add("null/local_get", [] { say("%d", cpg_local_get(open_handle(), nullptr)); });
  add("null/flow_control_state_get", [] { say("%d", cpg_flow_control_state_get(open_handle(), nullptr)); });
  add("null/membership_list", [] {
    cpg_name n = group;
    int count = 1;
    say("%d", cpg_membership_get(open_handle(), &n, nullptr, &count));
  });
  add("null/membership_count", [] {
    cpg_name n = group;
    cpg_address list[CPG_MEMBERS_MAX];
    say("%d", cpg_membership_get(open_handle(), &n, list, nullptr));
  });
  add("null/iteration_handle",
      [] { say("%d", cpg_iteration_initialize(open_handle(), CPG_ITERATION_ALL, nullptr, nullptr)); });
  add("null/iteration_description", [] {
    cpg_iteration_handle_t i = 0;
    say("%d", cpg_iteration_initialize(open_joined(), CPG_ITERATION_ALL, nullptr, &i));
    say("%d", cpg_iteration_next(i, nullptr));
  });
}

void add_beginnings() {
  add("initialize/without_callbacks", [] {
    cpg_handle_t h = 0;
    say("%d", cpg_initialize(&h, nullptr));
    say("join %d", join(h, &group));
    wait_for_deliveries(h);
    say("dispatch %d", cpg_dispatch(h, CS_DISPATCH_ALL));
  });
  add("initialize/empty_callbacks", [] {
    cpg_handle_t h = 0;
    cpg_callbacks_t calls{nullptr, nullptr};
    say("%d", cpg_initialize(&h, &calls));
    say("join %d", join(h, &group));
    send(h, "unheard");
    wait_for_deliveries(h);
    say("one %d", cpg_dispatch(h, CS_DISPATCH_ONE_NONBLOCKING));
    say("one %d", cpg_dispatch(h, CS_DISPATCH_ONE_NONBLOCKING));
    say("one %d", cpg_dispatch(h, CS_DISPATCH_ONE_NONBLOCKING));
  });
  add("initialize/model_without_data", [] {
    cpg_handle_t h = 0;
    int mark = 0;
    void* context = nullptr;
    say("%d", cpg_model_initialize(&h, CPG_MODEL_V1, nullptr, &mark));
    say("context %d %s", cpg_context_get(h, &context), context == &mark ? "as given" : "another");
  });
  for (const int model : {0, 2, -1}) {
    add("initialize/model_" + std::to_string(model), [model] {
      cpg_handle_t h = 0;
      say("%d", cpg_model_initialize(&h, static_cast<cpg_model_t>(model), nullptr, nullptr));
    });
  }
  for (const unsigned flags : {0U, 1U, 2U, 3U, 0x80000000U}) {
    add("initialize/flags_" + std::to_string(flags), [flags] {
      cpg_model_v1_data_t data{CPG_MODEL_V1, deliver, changed, ring_changed, flags};
      cpg_handle_t h = 0;
      const cs_error_t code =
          cpg_model_initialize(&h, CPG_MODEL_V1, reinterpret_cast<cpg_model_data_t*>(&data), nullptr);
      say("%d", code);
      the.loud = false;  // the order of change and ring depends on the service
      if (code == CS_OK) {
        say("join %d", join(h, &group));
        wait_for_deliveries(h);
        say("dispatch %d", cpg_dispatch(h, CS_DISPATCH_ALL));
        say("changes %d, rings %d", the.changes, the.rings);
      }
    });
  }
  add("initialize/context_is_null_at_first", [] {
    void* context = &the;
    const cpg_handle_t h = open_handle();
    say("%d %s", cpg_context_get(h, &context), context == nullptr ? "null" : "something");
    say("%d", cpg_context_set(h, &the));
    say("%d %s", cpg_context_get(h, &context), context == &the ? "as set" : "something");
  });
  add("initialize/many", [] {
    std::vector<cpg_handle_t> all;
    for (int i = 0; i < 20; ++i) {
      all.push_back(open_handle());
      const cpg_name n = name_of(group_text + std::to_string(i));
      say("join %d", join(all.back(), &n));
    }
    for (const auto h : all) {
      say("finalize %d", cpg_finalize(h));
    }
  });
  add("finalize/twice", [] {
    const cpg_handle_t h = open_handle();
    say("%d", cpg_finalize(h));
    say("%d", cpg_finalize(h));
  });
  add("finalize/flushes_what_was_sent", [] {
    other_member other;
    const cpg_handle_t h = open_joined();
    other.ask("join");
    // The messages of the other member are delivered after these.
    for (int i = 0; i < 50; ++i) {
      send(h, "mine");
    }
    say("finalize %d", cpg_finalize(h));
  });
}

}  // namespace

void add_handles() {
  add_bad_handles();
  add_null_arguments();
  add_beginnings();
}

}  // namespace conformance
