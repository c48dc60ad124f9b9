/** Judges single values: numbers in range, texts by length and pattern, choices. */
import { choicesOf, isAnything, type Shape } from "./shape.ts";

/** Whether one scalar is what the schema wants. */
export function fits(shape: Shape, value: unknown): boolean {
  const choices = choicesOf(shape);
  if (choices) return choices.includes(value);
  switch (shape.type) {
    case "integer":
      return Number.isSafeInteger(value) && inRange(shape, Number(value));
    case "number":
      return typeof value === "number" && Number.isFinite(value) && inRange(shape, value);
    case "string":
      return typeof value === "string" && textFits(shape, value);
    case "boolean":
      return typeof value === "boolean";
    case "null":
      return value === null;
    default:
      return isAnything(shape);
  }
}

function inRange(shape: Shape, value: number): boolean {
  const { minimum, maximum, exclusiveMinimum, exclusiveMaximum, multipleOf } = shape;
  return (
    value >= (minimum ?? value) &&
    value <= (maximum ?? value) &&
    (exclusiveMinimum === undefined || value > exclusiveMinimum) &&
    (exclusiveMaximum === undefined || value < exclusiveMaximum) &&
    (multipleOf === undefined || isWhole(value / multipleOf))
  );
}

/** 0.3 / 0.1 is 2.9999999999999996. */
const isWhole = (value: number): boolean => Math.abs(value - Math.round(value)) < 1e-9;

function textFits({ minLength = 0, maxLength, pattern }: Shape, value: string): boolean {
  if (value.length < minLength || value.length > (maxLength ?? value.length)) return false;
  return pattern === undefined || new RegExp(pattern, "u").test(value);
}

/** Text that came out of the environment becomes what the schema wants, if it says exactly that. */
export function converted(shape: Shape, value: unknown): unknown {
  if (typeof value !== "string") return value;
  const wants = (type: string): boolean =>
    shape.type === type || (choicesOf(shape)?.some((choice) => typeof choice === type) ?? false);
  const isNumeric = /^[+-]?\d+(\.\d+)?$/.test(value.trim());
  if (isNumeric && (wants("integer") || wants("number"))) return Number(value);
  if (wants("boolean") && (value === "true" || value === "false")) return value === "true";
  return value;
}
