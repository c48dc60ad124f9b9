/**
 * The in-process event bus. Facts travel as events; requests are calls. mitt stops at the first
 * listener that throws and lets its error reach the emitter, so every listener is wrapped.
 */
import mitt from "mitt";
import { type Log, messageOf } from "../log.ts";
import type { EventMap } from "./event-map.ts";

export interface Bus {
  /** Returns the unsubscribe. A listener that throws is logged and harms nobody. */
  on<Type extends keyof EventMap>(
    type: Type,
    listener: (event: EventMap[Type]) => void,
  ): () => void;
  emit<Type extends keyof EventMap>(type: Type, event: EventMap[Type]): void;
}

export function createBus(log: Log): Bus {
  const emitter = mitt<EventMap>();
  return {
    on(type, listener) {
      const wrapped: typeof listener = (event) => {
        try {
          listener(event);
        } catch (error) {
          log.error("an event listener failed", { type, error: messageOf(error) });
        }
      };
      emitter.on(type, wrapped);
      return () => emitter.off(type, wrapped);
    },
    emit: (type, event) => emitter.emit(type, event),
  };
}
