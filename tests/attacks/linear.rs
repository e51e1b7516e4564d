//! What a set of sums proves about its parts: the least and the most each part can be, by linear
//! programming.

use microlp::{ComparisonOp, OptimizationDirection, Problem, Variable};

use crate::people::Dice;

const NEAR: f64 = 1e-6;
/// Solutions that are looked at before a part's own bounds are computed: what is nobody in one of
/// them is not proven to be anybody.
const SAMPLES: usize = 12;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Part(usize);

pub type Sum = Vec<(Part, f64)>;

/// Parts that are whole numbers of people, and what is known of their sums.
#[derive(Default, Clone)]
pub struct Program {
    most: Vec<f64>,
    rows: Vec<(Sum, ComparisonOp, f64)>,
}

/// What can be said of one part: people are whole, so the least is rounded up and the most down.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Proven {
    /// Surely somebody.
    pub present: bool,
    /// Surely this many.
    pub exactly: Option<u64>,
}

impl Program {
    /// A number of people from nobody to `most`.
    pub fn part(&mut self, most: f64) -> Part {
        self.most.push(most);
        Part(self.most.len() - 1)
    }

    pub fn is(&mut self, sum: Sum, number: f64) {
        self.rows.push((sum, ComparisonOp::Eq, number));
    }

    pub fn at_most(&mut self, sum: Sum, number: f64) {
        self.rows.push((sum, ComparisonOp::Le, number));
    }

    pub fn at_least(&mut self, sum: Sum, number: f64) {
        self.rows.push((sum, ComparisonOp::Ge, number));
    }

    /// Of each of the parts.
    ///
    /// # Panics
    /// If nothing fits: then something is taken for known that is not so.
    pub fn prove(&self, parts: &[Part], dice: &mut Dice) -> Vec<Proven> {
        let mut least = vec![f64::INFINITY; parts.len()];
        let mut most = vec![0.0_f64; parts.len()];

        let mut look = |solution: &[f64], least: &mut [f64]| {
            for (place, part) in parts.iter().enumerate() {
                least[place] = least[place].min(solution[part.0]);
                most[place] = most[place].max(solution[part.0]);
            }
        };
        for _ in 0..SAMPLES {
            let objective: Vec<(Part, f64)> = parts
                .iter()
                .zip(&least)
                .filter(|(_, least)| **least > NEAR)
                .map(|(part, _)| (*part, 1.0 + dice.below(1000) as f64))
                .collect();
            if objective.is_empty() {
                break;
            }
            look(
                &self.solve(OptimizationDirection::Minimize, &objective),
                &mut least,
            );
        }

        let mut proven = Vec::with_capacity(parts.len());
        for (place, part) in parts.iter().enumerate() {
            let mut one = Proven {
                present: false,
                exactly: None,
            };
            if least[place] > NEAR {
                let solution = self.solve(OptimizationDirection::Minimize, &[(*part, 1.0)]);
                look(&solution, &mut least);
            }
            if least[place] > NEAR {
                let solution = self.solve(OptimizationDirection::Maximize, &[(*part, 1.0)]);
                let (low, high) = (
                    (least[place] - NEAR).ceil(),
                    (solution[part.0] + NEAR).floor(),
                );
                one.present = true;
                one.exactly = (low >= high).then_some(low as u64);
            }
            proven.push(one);
        }
        proven
    }

    fn solve(&self, direction: OptimizationDirection, objective: &[(Part, f64)]) -> Vec<f64> {
        let mut costs = vec![0.0; self.most.len()];
        for (part, cost) in objective {
            costs[part.0] = *cost;
        }
        let mut problem = Problem::new(direction);
        let variables: Vec<Variable> = self
            .most
            .iter()
            .zip(&costs)
            .map(|(most, cost)| problem.add_var(*cost, (0.0, *most)))
            .collect();
        for (sum, comparison, number) in &self.rows {
            let sum: Vec<(Variable, f64)> = sum
                .iter()
                .map(|(part, times)| (variables[part.0], *times))
                .collect();
            problem.add_constraint(&sum, *comparison, *number);
        }

        let outcome = problem.solve().expect("the truth is a solution");
        let solution = outcome.into_solution().expect("no limit was set");
        variables
            .iter()
            .map(|variable| solution.var_value(*variable))
            .collect()
    }
}
