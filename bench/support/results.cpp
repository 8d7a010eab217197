#include "support/results.hpp"

#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cli/output.hpp"

namespace cpgring::bench {
namespace {

double quantile(const std::vector<double>& sorted, double share) {
  if (sorted.empty()) {
    return 0;
  }
  const double at = share * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(at);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (sorted[above] - sorted[below]) * (at - static_cast<double>(below));
}

double relative_spread(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const double middle = quantile(values, 0.5);
  return middle > 0 ? (quantile(values, 0.75) - quantile(values, 0.25)) / middle : 0;
}

template <class Value>
nlohmann::ordered_json or_null(const std::optional<Value>& value) {
  return value ? nlohmann::ordered_json(*value) : nlohmann::ordered_json();
}

std::string short_number(double value) {
  return value >= 1e6   ? fmt::format("{:.2f}M", value / 1e6)
         : value >= 1e4 ? fmt::format("{:.0f}", value)
                        : fmt::format("{:.4g}", value);
}

}  // namespace

bool row::missed() const noexcept {
  if (!wanted) {
    return false;
  }
  return ours_at_most ? ours > *wanted : !ratio || *ratio < *wanted;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return quantile(values, 0.5);
}

row& results::add(std::string name, std::string unit, better which, const std::vector<double>& ours,
                  const std::vector<double>& peer, std::string peer_name) {
  row r;
  r.suite = suite_;
  r.name = std::move(name);
  r.unit = std::move(unit);
  r.which = which;
  r.ours = median(ours);
  r.peer_name = std::move(peer_name);
  r.runs = static_cast<int>(ours.size());
  r.spread = relative_spread(ours);
  if (!peer.empty()) {
    r.peer = median(peer);
    r.spread = std::max(r.spread, relative_spread(peer));
    const double over = which == better::lower ? *r.peer : r.ours,
                 under = which == better::lower ? r.ours : *r.peer;
    if (under > 0) {
      r.ratio = over / under;
    } else if (over == 0) {
      r.ratio = 1;
    }
  }
  rows_.push_back(std::move(r));
  const row& last = rows_.back();
  cli::standard_output().print("# {} | {}: {} {}, {} {}{}\n", last.suite, last.name, short_number(last.ours),
                               last.unit, last.peer_name, last.peer ? short_number(*last.peer) : "can't",
                               last.ratio ? fmt::format(", {:.2f} times", *last.ratio) : "");
  return rows_.back();
}

void results::want(std::string name, std::string unit, better which, const std::vector<double>& ours,
                   const std::vector<double>& peer, std::string peer_name, double at_least) {
  add(std::move(name), std::move(unit), which, ours, peer, std::move(peer_name)).wanted = at_least;
}

void results::note(std::string text) {
  cli::standard_output().print("# {} | {}\n", suite_, text);
  notes_.push_back(std::move(text));
}

std::string results::json() const {
  auto list = nlohmann::ordered_json::array();
  for (const row& r : rows_) {
    list.push_back({{"suite", r.suite},
                    {"case", r.name},
                    {"unit", r.unit},
                    {"better", r.which == better::lower ? "lower" : "higher"},
                    {"ours", r.ours},
                    {"peer", or_null(r.peer)},
                    {"peer_name", r.peer_name},
                    {"ratio", or_null(r.ratio)},
                    {"runs", r.runs},
                    {"spread", r.spread},
                    {"wanted", or_null(r.wanted)},
                    {"missed", r.missed()}});
  }
  auto notes = notes_;
  notes.insert(notes.end(), silent_notes_.begin(), silent_notes_.end());
  return nlohmann::ordered_json{{"suite", suite_}, {"rows", list}, {"notes", notes}}.dump(1) + "\n";
}

void results::print_table() const {
  std::size_t width = 20, peer_width = 12;
  for (const row& r : rows_) {
    width = std::max(width, r.name.size());
    peer_width = std::max(peer_width, r.peer_name.size());
  }
  std::string table =
      fmt::format("\n{:<{}} {:>12} {:>12} {:<{}} {:>7} {:>7} {:>5} {:<12} {}\n", suite_, width, "cpgring",
                  "peer", "which", peer_width, "ratio", "spread", "runs", "wanted", "unit");
  for (const row& r : rows_) {
    const std::string wanted = !r.wanted ? ""
                                         : fmt::format("{} {:g}{}", r.ours_at_most ? "<=" : ">=", *r.wanted,
                                                       r.missed() ? " MISSED" : "");
    table +=
        fmt::format("{:<{}} {:>12} {:>12} {:<{}} {:>7} {:>6.0f}% {:>5} {:<12} {}\n", r.name, width,
                    short_number(r.ours), r.peer ? short_number(*r.peer) : "-", r.peer_name, peer_width,
                    r.ratio ? fmt::format("{:.2f}", *r.ratio) : "-", r.spread * 100, r.runs, wanted, r.unit);
  }
  for (const auto& note : notes_) {
    table += fmt::format("{}\n", note);
  }
  cli::standard_output().write(table);
}

}  // namespace cpgring::bench
