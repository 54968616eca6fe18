import { describe, expect, it } from 'vitest'

import { block, blockAt, blockCount, blockSize, type Block } from './blocks'
import { Lru } from './lru'
import { lastBefore, Player, type PlayerIo } from './player'
import type { Item, Slice } from './slices'

const grid = { from: 0n, to: 3_500_000_000n, size: 1_000_000_000n }

function item(at: bigint, topic = '/a'): Item {
  return { at, topic, message: { topic, type: 't', recvNs: at, value: { at: String(at) } } }
}

function sliceOf(b: Block): Slice {
  return {
    prior: [item(b.from - 1n, '/latched')],
    items: [item(b.from), item(b.from + 500_000_000n)],
    bytes: 10,
  }
}

function atOf(time: bigint): Item[] {
  return lastBefore(sliceOf(blockAt(grid, time)), time)
}

function rig(
  load: PlayerIo['load'] = (b) => Promise.resolve(sliceOf(b)),
  at: PlayerIo['at'] = (time) => Promise.resolve(atOf(time)),
) {
  const seen: { topic: string; at: bigint; reset: boolean }[] = []
  const asked: number[] = []
  const io: PlayerIo = {
    load: (b, signal) => {
      asked.push(b.index)
      return load(b, signal)
    },
    at,
    emit: (items, reset) => items.forEach((i) => seen.push({ topic: i.topic, at: i.at, reset })),
    changed: () => undefined,
  }
  const player = new Player(grid, io, grid.from, 0)
  return { player, seen, asked }
}

const settle = () => new Promise((r) => setTimeout(r, 0))

describe('blocks', () => {
  it('cover the whole time without overlap', () => {
    expect(blockCount(grid)).toBe(4)
    expect(block(grid, 3)).toEqual({ index: 3, from: 3_000_000_000n, to: 3_500_000_000n })
    expect(blockAt(grid, 1_000_000_000n).index).toBe(1)
    expect(blockAt(grid, 9_000_000_000n).index).toBe(3)
  })

  it('are shorter the more there is in a second', () => {
    expect(blockSize(100_000_000)).toBe(250_000_000n)
    expect(blockSize(1024 * 1024)).toBe(1_000_000_000n)
    expect(blockSize(0)).toBe(5_000_000_000n)
  })
})

describe('Lru', () => {
  it('lets go of what was used longest ago', () => {
    const lru = new Lru<number, string>(20)
    lru.set(1, 'a', 10)
    lru.set(2, 'b', 10)
    lru.get(1)
    lru.set(3, 'c', 10)
    expect([lru.has(1), lru.has(2), lru.has(3)]).toEqual([true, false, true])
    expect(lru.bytes).toBe(20)
  })
})

describe('Player', () => {
  it('shows the last message of each topic at the place that was sought', async () => {
    const { player, seen } = rig()
    await player.seek(1_700_000_000n)
    expect(seen).toEqual([
      { topic: '/latched', at: 999_999_999n, reset: true },
      { topic: '/a', at: 1_500_000_000n, reset: true },
    ])
    expect(player.view().state).toBe('idle')
  })

  it('tells each message once over the borders of blocks', async () => {
    const { player, seen } = rig()
    await player.start()
    await settle()
    player.play()
    for (let i = 0; i < 60; i++) {
      player.tick(100)
      await settle()
    }
    const told = seen
      .filter((s) => !s.reset && s.topic === '/a')
      .map((s) => Number(s.at / 1_000_000n))
    expect(told).toEqual([500, 1000, 1500, 2000, 2500, 3000, 3500])
    expect(player.view()).toMatchObject({ state: 'idle', playing: false, time: grid.to })
  })

  it('loses nothing where it had to wait for a slice', async () => {
    const release: (() => void)[] = []
    const { player, seen } = rig((b) =>
      b.index === 0
        ? Promise.resolve(sliceOf(b))
        : new Promise((resolve) => release.push(() => resolve(sliceOf(b)))),
    )
    await player.start()
    player.play()
    player.tick(1200)
    player.tick(100)
    expect(player.view()).toMatchObject({ state: 'wait', time: 1_000_000_000n })
    release.forEach((go) => go())
    await settle()
    player.tick(100)
    expect(seen.at(-1)).toEqual({ topic: '/a', at: 1_000_000_000n, reset: false })
  })

  it('begins again at the end when it loops', async () => {
    const { player } = rig()
    player.setLoop(true)
    await player.seek(3_400_000_000n)
    player.play()
    player.tick(200)
    await settle()
    expect(player.view()).toMatchObject({ time: 0n, playing: true, state: 'play' })
  })

  it('aborts an older seek and shows the newest only', async () => {
    const signals: AbortSignal[] = []
    const release: (() => void)[] = []
    const { player, seen } = rig(undefined, (time, signal) => {
      signals.push(signal)
      return new Promise((resolve) => release.push(() => resolve(atOf(time))))
    })
    const first = player.seek(100n)
    const second = player.seek(2_600_000_000n)
    release.forEach((go) => go())
    await Promise.all([first, second])
    expect(signals[0]?.aborted).toBe(true)
    expect(seen.map((s) => s.at)).toEqual([1_999_999_999n, 2_500_000_000n])
  })

  it('takes a place from what it has, without asking', async () => {
    let asked = 0
    const { player } = rig(undefined, (time) => {
      asked++
      return Promise.resolve(atOf(time))
    })
    await player.start()
    await settle()
    await player.seek(2_600_000_000n)
    expect(asked).toBe(1)
    expect(player.view().buffered).toEqual([{ from: 0n, to: grid.to }])
  })

  it('steps from message to message', async () => {
    const { player } = rig()
    await player.seek(700_000_000n)
    const places: bigint[] = []
    for (const forward of [true, true, false, false, false, false, false]) {
      await player.step(forward)
      places.push(player.view().time / 1_000_000n)
    }
    expect(places).toEqual([1000n, 1500n, 1000n, 999n, 500n, 0n, 0n])
  })

  it('plays the part that was chosen again and again', async () => {
    const { player } = rig()
    player.setRange({ from: 500_000_000n, to: 900_000_000n })
    player.setLoop(true)
    await player.start()
    player.play()
    await settle()
    expect(player.view().time).toBe(500_000_000n)
    player.tick(600)
    await settle()
    expect(player.view()).toMatchObject({ time: 500_000_000n, playing: true })
  })

  it('tells what went wrong and goes on when asked again', async () => {
    let bad = true
    const { player } = rig((b) =>
      bad ? Promise.reject(new Error('503')) : Promise.resolve(sliceOf(b)),
    )
    await player.start()
    await settle()
    expect(player.view()).toMatchObject({ state: 'failed', playing: false })
    bad = false
    player.play()
    await settle()
    expect(player.view().state).toBe('play')
  })

  it('reads ahead and asks for nothing twice', async () => {
    const { player, asked } = rig()
    await player.start()
    await settle()
    await player.seek(500_000_000n)
    expect(asked).toEqual([0, 1, 2, 3])
  })

  it('closes for good', async () => {
    const { player, seen } = rig()
    player.close()
    await player.seek(1n)
    expect(seen).toEqual([])
    expect(player.view().state).toBe('closed')
  })
})
