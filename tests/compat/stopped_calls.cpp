// Every call of libcpg on a stopped service: none may wait longer than CPGRING_LIBCPG_DEADLINE_MS. Usage:
// stopped_calls CPGRING, where no service "cpg" runs, with our libcpg.so.4. The dispatch modes that wait for
// an event are left out.
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "stopped_service.hpp"

namespace {

using namespace stopped;
using steady = std::chrono::steady_clock;

// Extra time for busy machines. A call that waited for the service would never return.
constexpr long margin_ms = 5000;

struct call {
  const char* what;
  /// Stops the service itself, after any request that it needs before.
  cs_error_t (*make)(cpg_handle_t, const service&);
  int waits;  // how many deadlines the call may take
};

const call calls[] = {
    {"cpg_initialize",
     [](cpg_handle_t, const service& s) {
       s.stop();
       cpg_handle_t other = 0;
       cpg_callbacks_t none{};
       return cpg_initialize(&other, &none);
     },
     1},
    {"cpg_leave",
     [](cpg_handle_t h, const service& s) {
       s.stop();
       return cpg_leave(h, &group);
     },
     1},
    {"cpg_membership_get",
     [](cpg_handle_t h, const service& s) {
       s.stop();
       cpg_address list[CPG_MEMBERS_MAX];
       int count = CPG_MEMBERS_MAX;
       cpg_name n = group;
       return cpg_membership_get(h, &n, list, &count);
     },
     1},
    {"cpg_local_get",
     [](cpg_handle_t h, const service& s) {
       s.stop();
       unsigned int node = 0;
       return cpg_local_get(h, &node);
     },
     1},
    {"cpg_mcast_joined, until refused",
     [](cpg_handle_t h, const service& s) {
       s.stop();
       cs_error_t code = CS_OK;
       for (int i = 0; i < 100000 && code == CS_OK; ++i) {
         code = send(h, 10000);
       }
       return code;
     },
     1},
    {"cpg_mcast_joined, in fragments",
     [](cpg_handle_t h, const service& s) {
       s.stop();
       return send(h, 3000000);
     },
     1},
    {"cpg_iteration_initialize",
     [](cpg_handle_t h, const service& s) {
       s.stop();
       cpg_iteration_handle_t i = 0;
       return cpg_iteration_initialize(h, CPG_ITERATION_ALL, nullptr, &i);
     },
     1},
    {"cpg_iteration_next",
     [](cpg_handle_t h, const service& s) {
       cpg_iteration_handle_t i = 0;
       cpg_iteration_description_t d;
       if (cpg_iteration_initialize(h, CPG_ITERATION_ALL, nullptr, &i) != CS_OK) {
         return CS_ERR_LIBRARY;
       }
       s.stop();
       return cpg_iteration_next(i, &d);
     },
     1},
    {"cpg_iteration_finalize",
     [](cpg_handle_t h, const service& s) {
       cpg_iteration_handle_t i = 0;
       if (cpg_iteration_initialize(h, CPG_ITERATION_ALL, nullptr, &i) != CS_OK) {
         return CS_ERR_LIBRARY;
       }
       s.stop();
       return cpg_iteration_finalize(i);
     },
     1},
    {"cpg_zcb_alloc, _mcast_joined, _free",
     [](cpg_handle_t h, const service& s) {
       s.stop();
       void* buffer = nullptr;
       cs_error_t code = cpg_zcb_alloc(h, 1000, &buffer);
       if (code != CS_OK) {
         return code;
       }
       code = cpg_zcb_mcast_joined(h, CPG_TYPE_AGREED, buffer, 1000);
       const cs_error_t freed = cpg_zcb_free(h, buffer);
       return code == CS_OK ? freed : code;
     },
     3},
    {"cpg_dispatch, all",
     [](cpg_handle_t h, const service& s) {
       s.stop();
       return cpg_dispatch(h, CS_DISPATCH_ALL);
     },
     0},
    {"cpg_dispatch, one_nonblocking",
     [](cpg_handle_t h, const service& s) {
       s.stop();
       return cpg_dispatch(h, CS_DISPATCH_ONE_NONBLOCKING);
     },
     0},
    {"cpg_flow_control_state_get, _fd_get, _context_get, _max_atomic_msgsize_get",
     [](cpg_handle_t h, const service& s) {
       s.stop();
       cpg_flow_control_state_t state{};
       int fd = 0;
       void* context = nullptr;
       std::uint32_t size = 0;
       const cs_error_t codes[] = {cpg_flow_control_state_get(h, &state), cpg_fd_get(h, &fd),
                                   cpg_context_get(h, &context), cpg_max_atomic_msgsize_get(h, &size)};
       for (const cs_error_t code : codes) {
         if (code != CS_OK) {
           return code;
         }
       }
       return CS_OK;
     },
     0},
    {"cpg_finalize",
     [](cpg_handle_t h, const service& s) {
       s.stop();
       return cpg_finalize(h);
     },
     1},
    {"cpg_finalize, behind a full ring",
     [](cpg_handle_t h, const service& s) {
       s.stop();
       for (int i = 0; i < 100000 && send(h, 10000) == CS_OK; ++i) {
       }
       return cpg_finalize(h);
     },
     2},
};

}  // namespace

int main(int argc, char** argv) {
  const char* const deadline = std::getenv("CPGRING_LIBCPG_DEADLINE_MS");
  if (argc != 2 || deadline == nullptr || on_stock()) {
    std::fprintf(stderr,
                 "stopped_calls CPGRING, with CPGRING_LIBCPG_DEADLINE_MS set and our libcpg.so.4 loaded\n");
    return 64;
  }
  const long deadline_ms = std::atol(deadline);
  for (const call& one : calls) {
    const service own(argv[1]);
    const cpg_handle_t h = open_joined();
    const auto began = steady::now();
    const cs_error_t code = one.make(h, own);
    const long took = std::chrono::duration_cast<std::chrono::milliseconds>(steady::now() - began).count();
    std::printf("%-76s code %2d, %5ld ms, may wait %5ld\n", one.what, static_cast<int>(code), took,
                one.waits * deadline_ms);
    std::fflush(stdout);
    if (took > one.waits * deadline_ms + margin_ms) {
      complain(one.what, "waited beyond its deadline");
    }
  }
  return failed ? 1 : 0;
}
