// A suite: a question about speed, its cases, and whom it is asked against. Each stands in a file of its own; main.cpp lists them.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cpgring::bench {

class results;

/// What the command line says. Empty lists and zeros: as the suite finds right, and less of it with `quick`.
struct settings {
  std::string service = "cpg";               ///< the one that both sides talk to; libcpg knows "cpg" only
  std::optional<std::uint32_t> service_uid;  ///< who may run it, beside root and this user
  bool quick = false;
  int repetitions = 0;
  std::string only;  ///< cases whose names contain this; a suite opens nothing for the others
  std::vector<std::size_t> handles, bursts, sizes;
  std::vector<double> rates;
  std::chrono::milliseconds length{0};  ///< of one timed run
  std::filesystem::path out;            ///< where files of a suite's own go; empty: nowhere

  [[nodiscard]] bool wanted(std::string_view name) const { return name.find(only) != std::string_view::npos; }
  [[nodiscard]] int repeat(int usual, int in_a_hurry) const { return repetitions != 0 ? repetitions : quick ? in_a_hurry : usual; }
};

struct suite {
  const char* name;
  const char* question;
  void (*run)(const settings&, results&);
};

void run_dispatch(const settings& s, results& r);
void run_pingpong(const settings& s, results& r);
void run_openloop(const settings& s, results& r);
void run_throughput(const settings& s, results& r);
void run_scale(const settings& s, results& r);
void run_spsc(const settings& s, results& r);
void run_fanout(const settings& s, results& r);
void run_modes(const settings& s, results& r);
void run_workers(const settings& s, results& r);
#ifdef CPGRING_LIBCPG
void run_libcpg(const settings& s, results& r);
#endif

inline constexpr suite suites[] = {
    {"dispatch", "CPU for each event that waits, by handles and burst, against libcpg with epoll and with a thread for each handle",
     run_dispatch},
    {"pingpong", "from multicast to own delivery, one message under way, against libcpg's ONE and ALL", run_pingpong},
    {"openloop", "latency from the intended send time at fixed rates up to libcpg's saturation", run_openloop},
    {"throughput", "messages a second by size, one handle and many, against the same loop on libcpg", run_throughput},
    {"scale", "opening time, memory, mappings, descriptors and idle CPU by number of handles", run_scale},
    {"spsc", "the queue from reactor to worker against boost::lockfree::spsc_queue and moodycamel::ReaderWriterQueue", run_spsc},
    {"fanout", "one message to all members of a group, against a libcpg process for each member", run_fanout},
    {"modes", "CPU for each waiting event in each of the four dispatch modes", run_modes},
    {"workers", "callbacks on workers against callbacks inline: what the hand-off costs, what a second core brings", run_workers},
#ifdef CPGRING_LIBCPG
    {"libcpg", "our libcpg.so.4 against the stock one, both loaded into one program", run_libcpg},
#endif
};

}  // namespace cpgring::bench
