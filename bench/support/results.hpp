// What the suites found: rows of ours against a peer's, medians with their spread; a table for people, JSON for programs.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cpgring::bench {

enum class better { lower, higher };

struct row {
  std::string suite, name, unit;
  better which = better::lower;
  double ours = 0;
  std::optional<double> peer;  ///< nothing: the peer can't do this
  std::string peer_name;
  std::optional<double> ratio;   ///< above 1: ours is better
  std::optional<double> wanted;  ///< the least ratio, or with `ours_at_most` the most of ours
  bool ours_at_most = false;
  int runs = 0;
  double spread = 0;  ///< the wider of both sides' interquartile ranges, as a share of its median

  [[nodiscard]] bool missed() const noexcept;
};

double median(std::vector<double> values);

class results {
 public:
  explicit results(std::string suite) : suite_(std::move(suite)) {}

  /// Samples of both sides, one for each repetition. An empty `peer`: there is none that could. Prints a line at once.
  row& add(std::string name, std::string unit, better which, const std::vector<double>& ours, const std::vector<double>& peer,
           std::string peer_name);
  /// As add(), with the ratio that is wanted.
  void want(std::string name, std::string unit, better which, const std::vector<double>& ours, const std::vector<double>& peer,
            std::string peer_name, double at_least);
  /// Something left out, and why. Prints a line at once.
  void note(std::string text);
  /// For json() alone: what people have been told already.
  void note_silently(std::string text) { silent_notes_.push_back(std::move(text)); }

  [[nodiscard]] const std::vector<row>& rows() const noexcept { return rows_; }
  [[nodiscard]] std::string json() const;
  void print_table() const;

 private:
  std::string suite_;
  std::vector<row> rows_;
  std::vector<std::string> notes_, silent_notes_;
};

}  // namespace cpgring::bench
