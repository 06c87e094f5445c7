// How this device plays, the listener's devices, whom they let in, and the ways out.

import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import { deviceId, deviceName, rename } from "../session/device";
import { bitrateKbpsMax, CROSSFADE_S_MAX, crossfadeS, normalise, QUALITIES, setCrossfade, setNormalise, setQuality } from "../session/preferences";
import { devices, toast } from "../session/store";
import type { Device } from "../wire/frames";
import { installOffer } from "../install";
import { usePage } from "./context";
import { Icon } from "./icons";
import { Slider } from "./slider";
import { SleepButton } from "./timing";
import { errorText } from "./words";

interface Me {
  display_name: string;
  country?: string;
  product?: string;
  explicit_content?: { filter_enabled: boolean };
}

interface Client {
  client_id: string;
  name: string;
}

export function Settings() {
  const { app } = usePage();
  const [me, setMe] = useState<Me | null>(null);
  useEffect(() => {
    app.rest.get<Me>("/v1/me").then(setMe, () => undefined);
  }, []);
  return (
    <section class="settings" aria-labelledby="settings-title">
      <h1 id="settings-title">Settings</h1>
      <Playback />
      {me?.explicit_content && <ExplicitFilter enabled={me.explicit_content.filter_enabled} />}
      <DeviceList />
      <Apps />
      <AccountPart me={me} />
    </section>
  );
}

function Group({ title, children }: { title: string; children: ComponentChildren }) {
  return (
    <section class="group" aria-label={title}>
      <h2>{title}</h2>
      {children}
    </section>
  );
}

function ExplicitFilter({ enabled }: { enabled: boolean }) {
  const { app } = usePage();
  const [isOn, setOn] = useState(enabled);
  const set = (wanted: boolean): void => {
    setOn(wanted);
    app.rest.change("PUT", "/v1/me/explicit-content", { filter_enabled: wanted }).then(
      () => toast(wanted ? "Explicit tracks are left out from now on." : "Explicit tracks are played again."),
      (error: unknown) => {
        setOn(!wanted);
        toast(errorText(error));
      },
    );
  };
  return (
    <Group title="On all your devices">
      <label class="setting">
        <span>
          Leave out explicit tracks
          <span class="quiet">They are passed over and leave the queue. What sounds now plays to its end.</span>
        </span>
        <input type="checkbox" role="switch" checked={isOn} onChange={(event) => set(event.currentTarget.checked)} />
      </label>
    </Group>
  );
}

function Playback() {
  const { app } = usePage();
  const choose = (kbps: number): void => {
    if (kbps === bitrateKbpsMax.value) return;
    setQuality(kbps);
    app.link.renewHello();
    toast("From the next track on.");
  };
  return (
    <Group title="Playing on this device">
      <fieldset class="choices">
        <legend>Quality</legend>
        {QUALITIES.map((one) => (
          <label key={one.bitrateKbpsMax} class="choice">
            <input type="radio" name="quality" checked={bitrateKbpsMax.value === one.bitrateKbpsMax} onChange={() => choose(one.bitrateKbpsMax)} />
            <span>
              {one.name} <span class="quiet">{one.text}</span>
            </span>
          </label>
        ))}
      </fieldset>
      <label class="setting">
        <span>
          Equal loudness
          <span class="quiet">Quiet tracks are raised and loud ones lowered, so that you need not reach for the volume.</span>
        </span>
        <input
          type="checkbox"
          role="switch"
          checked={normalise.value}
          onChange={(event) => {
            setNormalise(event.currentTarget.checked);
            app.graph.setNormalise(normalise.value);
          }}
        />
      </label>
      <div class="setting">
        <span>
          Crossfade
          <span class="quiet">One track fades into the next. An album in its order plays on without a gap all the same.</span>
        </span>
        <span class="setting-slider">
          <Slider
            label="Crossfade"
            value={crossfadeS.value}
            max={CROSSFADE_S_MAX}
            step={1}
            text={crossfadeText}
            onMove={setCrossfade}
            onCommit={(seconds) => {
              setCrossfade(seconds);
              app.conductor.followUp();
            }}
          />
          <span class="quiet time">{crossfadeText(crossfadeS.value)}</span>
        </span>
      </div>
      <div class="setting">
        <span>
          Sleep timer
          <span class="quiet">Pauses wherever the music is.</span>
        </span>
        <SleepButton isNamed />
      </div>
    </Group>
  );
}

function crossfadeText(seconds: number): string {
  return seconds === 0 ? "Off" : `${seconds} s`;
}

function DeviceList() {
  const sorted = [...devices.value].sort((a, b) => Number(b.device_id === deviceId) - Number(a.device_id === deviceId) || a.name.localeCompare(b.name));
  return (
    <Group title="Your devices">
      <ul>
        {sorted.map((device) => (
          <DeviceSetting key={device.device_id} device={device} />
        ))}
      </ul>
    </Group>
  );
}

function DeviceSetting({ device }: { device: Device }) {
  const { run } = usePage();
  const [editing, setEditing] = useState(false);
  const isOwn = device.device_id === deviceId;
  const name = isOwn ? deviceName.value : device.name;
  const save = (next: string): void => {
    setEditing(false);
    if (next.trim() === "" || next.trim() === name) return;
    if (isOwn) rename(next);
    void run({ endpoint: "rename_device", device_id: device.device_id, name: isOwn ? deviceName.value : next.trim() });
  };
  return (
    <li class="setting">
      {editing ? (
        <form
          onSubmit={(event) => {
            event.preventDefault();
            save(String(new FormData(event.currentTarget).get("name")));
          }}
        >
          <input class="inline" name="name" maxLength={64} aria-label={`New name of ${name}`} defaultValue={name} autofocus onBlur={(event) => save(event.currentTarget.value)} />
        </form>
      ) : (
        <span>
          {name}
          <span class="quiet">{isOwn ? "This device" : device.connection === "offline" ? seenText(device) : "Connected"}</span>
        </span>
      )}
      <span class="setting-tools">
        <button type="button" class="round minor" aria-label={`Rename ${name}`} title="Rename" onClick={() => setEditing(!editing)}>
          <Icon name="edit" size={16} />
        </button>
        {!isOwn && (
          <button
            type="button"
            class="round minor"
            aria-label={`Forget ${name}`}
            title="Forget"
            onClick={() => void run({ endpoint: "forget_device", device_id: device.device_id })}
          >
            <Icon name="close" size={16} />
          </button>
        )}
      </span>
    </li>
  );
}

function seenText(device: Device): string {
  return `Last seen ${new Date(device.last_seen_at_ms).toLocaleString([], { dateStyle: "medium", timeStyle: "short" })}`;
}

/** Other people's programs that this listener let in. Without any there is nothing to say. */
function Apps() {
  const { app } = usePage();
  const [clients, setClients] = useState<readonly Client[]>([]);
  useEffect(() => {
    app.rest.get<{ items: readonly Client[] }>("/v1/me/clients").then(
      ({ items }) => setClients(items),
      () => undefined,
    );
  }, []);
  async function remove(client: Client): Promise<void> {
    try {
      await app.rest.change("DELETE", `/v1/me/clients/${encodeURIComponent(client.client_id)}`);
      setClients(clients.filter((one) => one !== client));
    } catch (error) {
      toast(errorText(error), true);
    }
  }
  if (clients.length === 0) return null;
  return (
    <Group title="Apps you let in">
      <ul>
        {clients.map((client) => (
          <li key={client.client_id} class="setting">
            <span>{client.name || client.client_id}</span>
            <button type="button" class="small" onClick={() => void remove(client)}>
              Take its access away
            </button>
          </li>
        ))}
      </ul>
    </Group>
  );
}

function AccountPart({ me }: { me: Me | null }) {
  const { app } = usePage();
  const [asking, setAsking] = useState(false);
  const everywhere = (): void => void app.rest.signOutEverywhere().catch((error: unknown) => toast(errorText(error), true));
  return (
    <Group title="Account">
      <div class="setting">
        <span>
          {me?.display_name ?? "…"}
          <span class="quiet">{[me?.product, me?.country].filter(Boolean).join(" · ")}</span>
        </span>
        <span class="setting-tools">
          {installOffer.prompt !== null && (
            <button type="button" class="small" onClick={() => void installOffer.prompt?.()}>
              Install as an app
            </button>
          )}
          <button type="button" class="small" onClick={() => void app.rest.signOut()}>
            Sign out
          </button>
        </span>
      </div>
      <div class="setting">
        <span>
          Log out everywhere
          <span class="quiet">All your devices, browsers and apps have to sign in again, and fall silent.</span>
        </span>
        {asking ? (
          <span class="setting-tools">
            <button type="button" class="small danger" onClick={everywhere}>
              Yes, everywhere
            </button>
            <button type="button" class="small" onClick={() => setAsking(false)}>
              Keep them
            </button>
          </span>
        ) : (
          <button type="button" class="small" onClick={() => setAsking(true)}>
            Log out everywhere
          </button>
        )}
      </div>
    </Group>
  );
}
